"""What the commands of both integrations share: their common options, and the toolkit made ready before they run."""

from __future__ import annotations

import argparse
import errno
import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ..engine import cli
from ..utils.files import replacing
from ..utils.logger import get_logger

Command = Callable[[argparse.Namespace], None]
# what Python raises where a toolkit gets a value that it did not think of
SLIPS = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)


@contextmanager
def unfit_settings(toolkit: str) -> Iterator[None]:
    """Turn what a toolkit raises while it builds something from a configuration into a ValueError that says so."""
    try:
        yield
    except (*SLIPS, ValueError) as error:
        raise ValueError(f"{toolkit} cannot be built from this configuration: {_told(error)}") from error


@contextmanager
def naming_full_disk(folder: Path) -> Iterator[None]:
    """Name the run's folder in the error of a disk that is full: Paddle's saving names no file."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(error.errno, f"cannot save: {error.strerror}", str(folder)) from error
        raise


def _told(error: Exception) -> str:
    """The kind, the text and the place of an error, in one line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    file = Path(place.filename)
    return f"{type(error).__name__}: {text} ({file.parent.name}/{file.name}, line {place.lineno})"


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Batches of a loader, again and again.

    Raises:
        ValueError: it has none.
    """
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("the training data give no whole batch: use a smaller batch size or more images")


class Commands:
    """``python -m PACKAGE COMMAND``.

    Args:
        package: of the integration; it has ``register`` and a module ``speed``.
        description: of the program.
        load: reads the configuration that the options ``config`` and ``override`` name.
    """

    def __init__(self, package: str, description: str, load: Callable[[argparse.Namespace], Any]) -> None:
        self.package, self.load = package, load
        self.parser = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
        self._commands = self.parser.add_subparsers(required=True)

    def add(self, name: str, run: Command, text: str, config: bool = True) -> argparse.ArgumentParser:
        """Add a command, with ``-c`` and ``-o`` unless it needs no ``config``; returns its parser, for more options."""
        own = self._commands.add_parser(name, help=text, description=text)
        own.set_defaults(run=run)
        if config:
            own.add_argument("-c", "--config", required=True, metavar="YAML")
            own.add_argument("-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
        return own

    def add_speed(self) -> None:
        """Add ``speed``: the toolkit's own training step with the compiled kernels and without."""
        own = self.add("speed", self._speed, "time a training step with the compiled kernels and without")
        own.add_argument("--rounds", type=int, default=10)
        own.add_argument("--output", required=True, metavar="JSON")

    def add_measure(self, run: Command, text: str, rounds: int) -> argparse.ArgumentParser:
        """Add ``measure`` of finished runs."""
        own = self.add("measure", run, text, config=False)
        own.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
        own.add_argument("--rounds", type=int, default=rounds)
        return own

    def add_document(self, name: str, run: Command, text: str) -> None:
        """Add a command that writes what finished runs gave into a README."""
        own = self.add(name, run, text, config=False)
        own.add_argument("--runs", required=True, type=Path, metavar="DIR", help="folder under which the runs are")
        own.add_argument("--into", required=True, type=Path, metavar="README")

    def main(self, args: argparse.Namespace) -> None:
        """Register the networks, and run what was asked for.

        Raises:
            RuntimeError: the toolkit is not installed, another version of it is, or it has failed in the midst.
        """
        try:
            import_module(self.package).register()
        except ImportError as error:
            raise RuntimeError(str(error)) from None
        try:
            args.run(args)
        except SLIPS as error:
            raise RuntimeError(
                f"the toolkit has failed, most often for a value in the configuration that it did not expect: "
                f"{_told(error)}; PPEFFCONV_DEBUG=1 shows where"
            ) from error

    def run(self) -> None:
        """Read the command line, and leave with an exit code (see `cli.run`)."""
        cli.run(self.main, self.parser)

    def _speed(self, args: argparse.Namespace) -> None:
        compare_steps = import_module(f"{self.package}.speed").compare_steps
        result = compare_steps(self.load(args), args.rounds)
        with replacing(args.output) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        get_logger().info(f"{result['speedup']:.2f} times as fast: {args.output}")
