"""`python -m ppeffconv.weights`: list the published weights, fetch some for later, convert an authors' file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config_yaml import parse_yaml
from ..utils import logger
from .sources import PADDLE, SOURCES

if TYPE_CHECKING:
    import numpy as np


def main(arguments: list[str] | None = None) -> int:
    """Run a command; 0, or 1 with one line that says what is wrong."""
    args = parser().parse_args(arguments)
    logger.setup()
    try:
        args.run(args)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m ppeffconv.weights", description=__doc__)
    commands = options.add_subparsers(required=True, metavar="command")
    shown = commands.add_parser("list", help="the published weights")
    shown.add_argument("pattern", nargs="?", default="*", help='shell wildcard, such as "oct_*"')
    shown.set_defaults(run=_list)
    fetched = commands.add_parser("fetch", help="download them now, to work offline later")
    fetched.add_argument("pattern", help='shell wildcard on model.tag, such as "resnet50.*"')
    fetched.set_defaults(run=_fetch)
    convert = commands.add_parser("convert", help="an authors' checkpoint into a .safetensors with our names")
    convert.add_argument("file", type=Path, help=".pth, .params, .tar with .params, .pdparams")
    convert.add_argument(
        "--source", required=True, choices=list(SOURCES), metavar="OWNER/NAME", help=", ".join(SOURCES)
    )
    convert.add_argument("--name", help="network that it must fit, see list_models(); default: only rename")
    convert.add_argument(
        "--part", help='take only keys that begin with this and a dot, such as "backbone" of a detector'
    )
    convert.add_argument("-a", "--argument", action="append", default=[], metavar="KEY=VALUE", help="of the network")
    convert.add_argument("-o", "--output", type=Path, help="default: beside the file")
    convert.set_defaults(run=_convert)
    return options


def _list(args: argparse.Namespace) -> None:
    from .table import table

    for row in table():
        if fnmatchcase(row.name, args.pattern) or fnmatchcase(row.model, args.pattern):
            top1 = (
                f"top-1 {row.metrics['top1']} ({row.metrics.get('measured_by', '?')})" if "top1" in row.metrics else ""
            )
            unopened = "" if row.opened else "not opened here yet"
            print("  ".join(filter(None, (f"{row.name:36}", row.licence, top1, unopened))))


def _fetch(args: argparse.Namespace) -> None:
    from .remote import fetch
    from .table import table

    chosen = [row for row in table() if fnmatchcase(row.name, args.pattern)]
    if not chosen:
        raise ValueError(f"no weights match '{args.pattern}': see python -m ppeffconv.weights list")
    for row in chosen:
        print(fetch(row))


def _convert(args: argparse.Namespace) -> None:
    from .formats import read_file
    from .publish import save_weights
    from .reference import load_reference

    output = args.output or args.file.with_suffix(".safetensors")
    if output.resolve() == args.file.resolve():
        raise ValueError(f"{output} would overwrite its source: give another --output")
    state, given = _part(read_file(args.file), args.part), _arguments(args.argument)
    if args.name:
        from ..models import create_model  # the one place that knows networks; the rest of this package does not

        net = create_model(args.name, **given)
        load_reference(net, state, args.source)
        state = {key: value.numpy() for key, value in net.state_dict().items()}
    elif given:
        raise ValueError("--argument is for the network: give its --name too")
    else:
        state = _renamed(state, args.source)
    save_weights(output, state, args.name, given, args.source)
    print(f"{output}: {len(state)} tensors, {sum(value.size for value in state.values()):,} numbers")


def _part(state: Any, part: str | None) -> Any:
    """Choose the keys of one part, without its name."""
    if part is None:
        return state
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    chosen = {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
    if not chosen:
        parts = sorted({str(key).partition(".")[0] for key in state})
        raise ValueError(f"the file has no part '{part}': its keys begin with {', '.join(parts[:20]) or 'nothing'}")
    return chosen


def _renamed(state: Any, source: str) -> dict[str, np.ndarray]:
    """Without a network, a matrix is taken for the weights of a linear layer."""
    from paddle import nn

    from .reference import converted

    return {
        key: value.T if value.ndim == 2 and source != PADDLE else value
        for key, value in converted(nn.Layer(), state, source).items()
    }


def _arguments(texts: list[str]) -> dict[str, Any]:
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ValueError(f"expected KEY=VALUE, such as alpha=0.25, got '{text}'")
        given[key] = parse_yaml(value, f"-a {text}", key=key)
    return given


if __name__ == "__main__":
    sys.exit(main())
