"""Run a list of commands, going on where it stopped: python tools/run_queue.py configs/upsampling/runs.yaml"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli


def main(args: argparse.Namespace) -> int:
    from ppeffconv.engine import queue

    runs = queue.read_queue(args.queue)
    if args.list:
        for run in runs:
            print(f"{run.name:30s} {run.state}")
        return 0
    failed = queue.run_queue(runs, args.only, args.jobs)
    print(f"failed: {', '.join(run.name for run in failed)}" if failed else "all done")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("queue", type=cli.path, metavar="YAML", help="the list: output: folder, runs: {name: command}")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME", help="some runs, with shell wildcards")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side on the cores, shared out")
    parser.add_argument("--list", action="store_true", help="say how far each is, and run none")
    cli.run(main, parser)
