"""What the command-line tools share: options, errors without tracebacks, and the commands to type next."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils import logger

if TYPE_CHECKING:  # Paddle takes seconds to import, and -h need not wait for it
    from ..config import Config
    from .trainer import Result

USAGE, FAILURE = 2, 1
PACKAGE = Path(__file__).parents[1]
RECIPES = (PACKAGE, PACKAGE.parent)  # where configs/ lies: in the package when installed, beside it in a checkout


def config_parser(description: str | None, required: bool = True) -> argparse.ArgumentParser:
    """Return a parser with ``-c/--config`` and ``-o/--override``, which may be repeated and take several values."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-c", "--config", type=path, required=required, metavar="YAML", help="configuration file")
    parser.add_argument(
        "-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="such as Optimizer.lr=0.1"
    )
    return parser


def weights_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights``."""
    text = "weight file, checkpoint or run folder; default: the best checkpoint beside the configuration"
    parser.add_argument("--weights", type=path, metavar="PATH", help=text)


def read_config(args: argparse.Namespace, recipes: bool = False) -> Config:
    """Load the configuration that the options name.

    Args:
        args: with ``config`` and ``override``.
        recipes: a file ``configs/...`` that is not in the working directory is the recipe that comes with the package.
            Not for programs that write beside the configuration.
    """
    from ..config import load_config

    return load_config(_recipe(args.config) if recipes else args.config, args.override)


def _recipe(config: Path) -> Path:
    if config.is_file() or config.parts[:1] != ("configs",):
        return config
    found = [folder / config for folder in RECIPES if (folder / config).is_file()]
    if found:
        logger.get_logger().info(f"configuration: {found[0]}, which comes with the package")
    return found[0] if found else config


def run(main: Callable[[argparse.Namespace], int | None], parser: argparse.ArgumentParser) -> None:
    """Parse the command line, call ``main`` and leave with its exit code.

    A user's mistake is one message on stderr. The exit code is 2 for what was asked (ValueError, FileNotFoundError), 1
    for what went wrong on the way (RuntimeError, other OSErrors), 128 + the signal for an interruption. With
    PPEFFCONV_DEBUG=1 the traceback is shown too.
    """
    args = parser.parse_args()
    from ..utils import runtime
    from .distributed import rank

    for noise in ("When training, we now always track", "To copy construct from a tensor"):
        warnings.filterwarnings("ignore", message=noise)  # paddle.Model and BatchNorm say so in every run
    logger.setup(rank=rank())
    try:
        runtime.tune()
        code = main(args) or 0
    except KeyboardInterrupt as stop:
        code = 128 + getattr(stop, "signum", signal.SIGINT)  # TrainingInterrupted has the signal that came
    except (ValueError, FileNotFoundError) as error:
        code = _report(error, USAGE)
    except (RuntimeError, OSError) as error:
        code = _report(error, FAILURE)
    sys.exit(code)


def _report(error: Exception, code: int) -> int:
    from .build import first_line

    if os.environ.get("PPEFFCONV_DEBUG") == "1":
        traceback.print_exc()
    sys.stderr.write(f"error: {first_line(error)}\n")
    return code


def next_steps(result: Result) -> str:
    """Return where a run lies, its best score, and the commands to look at it, evaluate it and use it."""
    config = result.run_dir / "config.yaml"
    lines = [f"run:      {result.run_dir}"]
    if result.best is not None:
        lines.append(f"best:     {result.task.describe(result.best.score)} after epoch {result.best.epoch}")
    if result.vdl_dir.is_dir():
        lines.append(f"curves:   {curves(result.vdl_dir)}")
    lines.append(f"evaluate: {_sibling('eval', '-c', config)}")
    if not result.task.pairs:
        lines.append(f"predict:  {_sibling('predict', '-c', config, '--image', result.samples_dir)}")
    lines.append(f"export:   {_sibling('export', '-c', config)}")
    return "\n".join(lines)


def curves(folder: str | Path) -> str:
    """Return the command that shows VisualDL's files in ``folder``."""
    # its page answers with an error to a browser in a language that it does not know, unless it is told one
    return _command(_program("visualdl"), "--logdir", folder, "--language", "en")


def path(text: str) -> Path:
    """A path of the command line; a shell leaves the ``~`` of ``--output=~/x`` alone."""
    return Path(text).expanduser()


def _program(name: str, path: str | None = None) -> str:
    """Return ``name`` if the shell finds this environment's program by it, else the path to type."""
    program = Path(path or Path(sys.executable).with_name(name))
    found = shutil.which(name)
    if (found and Path(found) == program) or not program.exists():
        return name
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _sibling(name: str, *words: str | Path) -> str:
    """Return the command of another program, as this one was started: installed, or as a script of tools/."""
    own = Path(sys.argv[0])
    if own.name == "ppeffconv-train":
        return _command(_program(f"ppeffconv-{name}"), *words)
    return _command(_program("python", sys.executable), own.with_name(f"{name}.py"), *words)


def _command(*words: str | Path) -> str:
    return shlex.join(map(str, words))
