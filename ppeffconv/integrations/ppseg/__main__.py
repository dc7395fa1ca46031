"""Run PaddleSeg: python -m ppeffconv.integrations.ppseg train -c configs/segmentation/NAME.yaml"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...engine import cli
from . import register


def main(args: argparse.Namespace) -> None:
    try:
        register()
    except ImportError as error:
        raise RuntimeError(str(error)) from None
    args.run(args)


def train(args: argparse.Namespace) -> None:
    from . import runner, settings

    folder = runner.train(settings.RunConfig(args.config, args.override), args.resume)
    print(f"run:      {folder}\ncurves:   visualdl --logdir {folder}")


def evaluate(args: argparse.Namespace) -> None:
    from . import runner, settings

    metrics = runner.evaluate(settings.RunConfig(args.config, args.override), args.weights)
    print(f"mIoU {metrics['miou']:.4f}, accuracy {metrics['accuracy']:.4f}, kappa {metrics['kappa']:.4f}")


def infer(args: argparse.Namespace) -> None:
    from . import runner, settings

    cfg = settings.RunConfig(args.config, args.override)
    print(f"pictures: {runner.infer(cfg, args.image, args.weights, args.output)}")


def speed(args: argparse.Namespace) -> None:
    from . import settings, speed

    result = speed.compare_steps(settings.RunConfig(args.config, args.override), args.rounds)
    Path(args.output).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{result['speedup']:.2f} times as fast: {args.output}")


def measure(args: argparse.Namespace) -> None:
    from .speed import measure_runs

    measure_runs([Path(run) for run in args.runs], args.images, args.rounds)


def report(args: argparse.Namespace) -> None:
    from . import report

    report.write(Path(args.into), report.collect(Path(args.runs)))


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m ppeffconv.integrations.ppseg", description=__doc__)
    commands = top.add_subparsers(required=True)

    def command(name: str, function, text: str, config: bool = True) -> argparse.ArgumentParser:
        own = commands.add_parser(name, help=text, description=text)
        own.set_defaults(run=function)
        if config:
            own.add_argument("-c", "--config", required=True, metavar="YAML")
            own.add_argument("-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
        return own

    own = command("train", train, "train, and evaluate with each checkpoint")
    own.add_argument(
        "--resume", nargs="?", const="auto", metavar="auto|iter_N", help="continue the run, or that folder"
    )
    for own in (command("eval", evaluate, "evaluate a network"), command("infer", infer, "draw predicted labels")):
        own.add_argument(
            "--weights", metavar="PATH", help="a file, or a folder of the run; default: its last checkpoint"
        )
    own.add_argument("--image", required=True, metavar="PATH", help="an image, a folder, or a list of images")
    own.add_argument("--output", metavar="DIR", help="default: infer/ in the run's folder")
    own = command("speed", speed, "time a training step with the compiled kernels and without")
    own.add_argument("--rounds", type=int, default=10)
    own.add_argument("--output", required=True, metavar="JSON")
    own = command("measure", measure, "time finished runs in deploy form, in turns", config=False)
    own.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    own.add_argument("--images", type=int, default=40)
    own.add_argument("--rounds", type=int, default=3)
    own = command("report", report, "make the table and the figure of a README", config=False)
    own.add_argument("--runs", required=True, metavar="DIR", help="folder under which the runs are")
    own.add_argument("--into", required=True, metavar="README")
    return top


if __name__ == "__main__":
    cli.run(main, parser())
