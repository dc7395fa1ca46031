"""Measure against other engines: python tools/benchmark.py deploy --rows "*_batch1" --rounds 15"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.speed.engines import ENGINES
from benchmarks.speed.race import PAUSE
from ppeffconv.engine import cli
from ppeffconv.utils import cores


def main(args: argparse.Namespace) -> None:
    from benchmarks.speed import report, session
    from benchmarks.speed.rows import choose

    if args.action == "report":
        folder = ROOT / "custom_ops" / "benchmark"
        report.write_into(args.into, args.json or report.sessions_in(args.into, folder))
        return
    output = args.output or Path("output", "benchmark", f"{args.action}.json")
    settings = session.Settings(
        output, args.rounds, args.threads, tuple(args.engines), args.peer_python, args.resume, args.pause, command(args)
    )
    text = report.full(session.run(args.action, choose(report.rows_of(args.action), args.rows), settings))
    output.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"{text}\nsaved: {output}")


def command(args: argparse.Namespace) -> str:
    """What to type to repeat it elsewhere: without the paths of this machine."""
    rows = ["--rows", *args.rows] if args.rows else []
    engines = ["--engines", *args.engines] if args.engines != list(ENGINES) else []
    options = [*rows, "--rounds", args.rounds, "--threads", args.threads, *engines]
    return shlex.join(map(str, ["python", "tools/benchmark.py", args.action, *options]))


def measuring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME", help="some rows only, with shell wildcards")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each engine (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=cores.threads(), help="of ours and the peers (%(default)s)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="default: all")
    parser.add_argument(
        "--peer-python", type=cli.path, metavar="PATH", help="an interpreter with the peers; default: make one"
    )
    parser.add_argument("--output", type=cli.path, metavar="JSON", help="default: output/benchmark/ACTION.json")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the file has from a quiet machine")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds between turns (%(default)s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    measuring(actions.add_parser("ops", help="each kernel against the work that it is measured by"))
    measuring(actions.add_parser("train", help="a training step of each network"))
    measuring(actions.add_parser("deploy", help="inference of each network in every engine"))
    measuring(actions.add_parser("busy", help="what is lost beside a process that keeps one core busy"))
    measuring(actions.add_parser("growth", help="inference of each network as image and batch grow"))
    writing = actions.add_parser("report", help="write the tables into a document, and draw the figures")
    writing.add_argument("--into", type=cli.path, required=True, metavar="README.md")
    writing.add_argument(
        "--json", type=cli.path, nargs="+", help="default: those of custom_ops/benchmark that it has markers for"
    )
    cli.run(main, parser)
