"""Results on Fashion-MNIST: `collect` the queue's finished runs, `measure` milliseconds, `write` tables and figure."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "configs" / "results"
DENSE = ROOT / "configs" / "baselines" / "resnet20_fashion_mnist.yaml"


def collect_runs(args: argparse.Namespace) -> None:
    from benchmarks.accuracy import collect, documents
    from ppeffconv.engine import queue

    collect.collect(queue.read_queue(args.queue), FOLDER / documents.RECORDS)


def measure_rows(args: argparse.Namespace) -> None:
    import numpy as np

    from benchmarks.accuracy import documents, measure, record
    from ppeffconv.config import load_config
    from ppeffconv.data import build_loader

    images = np.concatenate([batch[0].numpy() for batch in build_loader(load_config(DENSE), "Eval")])
    speed = measure.measure(record.read_records(FOLDER / documents.RECORDS), images, args.rounds)
    measure.write_speed(speed, FOLDER / documents.SPEED)


def write(args: argparse.Namespace) -> None:
    from benchmarks.accuracy import documents

    for path in documents.write_documents(ROOT):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("collect", help="records and weights of the runs that are done")
    command.add_argument(
        "--queue", type=Path, default=FOLDER / "runs.yaml", metavar="YAML", help="the list of the runs"
    )
    command.set_defaults(main=collect_runs)
    command = commands.add_parser("measure", help="milliseconds of all rows in deploy form, in turns")
    command.add_argument("--rounds", type=int, default=30)
    command.set_defaults(main=measure_rows)
    command = commands.add_parser("write", help="the figure, the READMEs and the methods' cards, from what is kept")
    command.set_defaults(main=write)
    cli.run(lambda args: args.main(args), parser)
