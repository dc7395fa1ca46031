"""List the networks: python tools/list_models.py "sp_*" --params"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ppeffconv
from ppeffconv.engine import cli
from ppeffconv.registry import did_you_mean


def main(args: argparse.Namespace) -> None:
    names = ppeffconv.list_models(args.pattern)
    if not names:
        raise ValueError(f"no network matches '{args.pattern}'.{did_you_mean(args.pattern, ppeffconv.list_models())}")
    for name in names:
        print(f"{name:32s}{millions(name):10.3f} M" if args.params else name)


def millions(name: str) -> float:
    return sum(int(p.size) for p in ppeffconv.create_model(name).parameters()) / 1e6


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*", help='shell wildcard, such as "oct_*"')
    parser.add_argument("--params", action="store_true", help="with the number of parameters (builds every network)")
    cli.run(main, parser)
