"""Write the table and the pictures of depth upsampling from its runs: python tools/upsampling.py"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "upsampling"


def main(args: argparse.Namespace) -> None:
    from benchmarks.accuracy import depth_pictures, depth_report
    from ppeffconv.engine import queue

    results = args.into.parent / "results.json"
    if args.table_only:
        rows = json.loads(results.read_text(encoding="utf-8"))
        pictures = sorted(path.name for path in args.into.parent.glob("scenes_x*.png"))
    else:
        rows = depth_report.collect(queue.read_queue(args.queue), args.runs)
        depth_report.write_results(rows, results)
        pictures = depth_pictures.draw_scales(rows, args.runs, args.into.parent)
    depth_report.write_into(args.into, rows, pictures)
    print(depth_report.table(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--queue", type=cli.path, default=FOLDER / "runs.yaml", metavar="YAML", help="the list of the runs"
    )
    parser.add_argument("--runs", type=cli.path, default=Path("output"), metavar="FOLDER", help="where they are")
    parser.add_argument("--into", type=cli.path, default=FOLDER / "README.md", metavar="README.md")
    parser.add_argument("--table-only", action="store_true", help="from the results that were kept beside the document")
    cli.run(main, parser)
