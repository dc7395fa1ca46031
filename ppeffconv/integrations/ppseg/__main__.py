"""Run PaddleSeg: python -m ppeffconv.integrations.ppseg train -c configs/segmentation/NAME.yaml"""

from __future__ import annotations

import argparse

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


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m ppeffconv.integrations.ppseg", description=__doc__)
    commands = top.add_subparsers(required=True)

    def command(name: str, function, text: str) -> argparse.ArgumentParser:
        own = commands.add_parser(name, help=text, description=text)
        own.set_defaults(run=function)
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
    return top


if __name__ == "__main__":
    cli.run(main, parser())
