"""Run PaddleSeg: python -m ppeffconv.integrations.ppseg train -c configs/segmentation/NAME.yaml"""

from __future__ import annotations

import argparse
from typing import Any

from ...engine import cli
from ..commands import Commands


def load(args: argparse.Namespace) -> Any:
    from .settings import RunConfig

    return RunConfig(args.config, args.override)


def train(args: argparse.Namespace) -> None:
    from . import runner

    folder = runner.train(load(args), args.resume)
    print(f"run:      {folder}\ncurves:   {cli.curves(folder)}")


def evaluate(args: argparse.Namespace) -> None:
    from . import runner

    metrics = runner.evaluate(load(args), args.weights)
    print(f"mIoU {metrics['miou']:.4f}, accuracy {metrics['accuracy']:.4f}, kappa {metrics['kappa']:.4f}")


def infer(args: argparse.Namespace) -> None:
    from . import runner

    print(f"pictures: {runner.infer(load(args), args.image, args.weights, args.output)}")


def measure(args: argparse.Namespace) -> None:
    from .speed import measure_runs

    measure_runs(args.runs, args.images, args.rounds)


def report(args: argparse.Namespace) -> None:
    from . import report

    report.write(args.into, report.collect(args.runs))


def commands() -> Commands:
    """The commands and their options."""
    every = Commands(__package__, __doc__, load)
    own = every.add("train", train, "train, and evaluate with each checkpoint")
    text = "continue the run, or that folder"
    own.add_argument("--resume", nargs="?", const="auto", metavar="auto|iter_N", help=text)
    text = "a file, or a folder of the run; default: its last checkpoint"
    for own in (every.add("eval", evaluate, "evaluate a network"), every.add("infer", infer, "draw predicted labels")):
        own.add_argument("--weights", metavar="PATH", help=text)
    own.add_argument("--image", required=True, metavar="PATH", help="an image, a folder, or a list of images")
    own.add_argument("--output", metavar="DIR", help="default: infer/ in the run's folder")
    every.add_speed()
    own = every.add_measure(measure, "time finished runs in deploy form, in turns", rounds=3)
    own.add_argument("--images", type=int, default=40)
    every.add_document("report", report, "make the table and the figure of a README")
    return every


if __name__ == "__main__":
    commands().run()
