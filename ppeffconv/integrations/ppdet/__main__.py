"""Run PaddleDetection: python -m ppeffconv.integrations.ppdet train -c configs/detection/NAME.yaml"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ...engine import cli
from ...utils.files import replacing
from ..commands import Commands


def load(args: argparse.Namespace) -> Any:
    from . import config

    return config.load(args.config, args.override)


def train(args: argparse.Namespace) -> None:
    from . import runner

    cfg = load(args)
    folder = runner.train(cfg, args.resume, not args.no_eval)
    print(f"run:      {folder}\ncurves:   {cli.curves(cfg['vdl_log_dir'])}")


def evaluate(args: argparse.Namespace) -> None:
    from . import runner

    scores = runner.evaluate(load(args), args.weights)
    print(", ".join(f"{name} {value}" for name, value in scores.items()))


def infer(args: argparse.Namespace) -> None:
    from . import runner

    print(f"drawings: {runner.infer(load(args), args.image, args.weights, args.threshold, args.output)}")


def measure(args: argparse.Namespace) -> None:
    from .speed import measure_runs

    measure_runs(args.runs, args.rounds)


def table(args: argparse.Namespace) -> None:
    from . import table

    rows = table.collect(args.runs)
    table.write(args.into, table.render(rows))
    with replacing(args.into.with_name("results.json")) as temporary:
        temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def commands() -> Commands:
    """The commands and their options."""
    every = Commands(__package__, __doc__, load)
    own = every.add("train", train, "train a detector")
    own.add_argument("-r", "--resume", nargs="?", const="auto", metavar="auto|CHECKPOINT")
    own.add_argument("--no-eval", action="store_true", help="do not evaluate with each checkpoint")
    for own in (every.add("eval", evaluate, "evaluate a detector"), every.add("infer", infer, "draw what it finds")):
        own.add_argument("--weights", metavar="PATH", help="default: the run's last, else its best")
    own.add_argument("--image", required=True, help="an image or a folder of images")
    own.add_argument("--threshold", type=float, default=0.5, help="lowest score that is drawn")
    own.add_argument("--output", metavar="DIR", help="default: infer/ in the run's folder")
    every.add_speed()
    every.add_measure(measure, "time finished runs side by side", rounds=20)
    every.add_document("table", table, "make the table of a README")
    return every


if __name__ == "__main__":
    commands().run()
