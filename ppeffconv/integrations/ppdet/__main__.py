"""Run PaddleDetection: python -m ppeffconv.integrations.ppdet train -c configs/detection/scenes_resnet18.yml"""

from __future__ import annotations

import argparse

from ...engine import cli


def main(args: argparse.Namespace) -> None:
    from . import config, runner

    cfg = config.load(args.config, args.override)
    if args.command == "train":
        folder = runner.train(cfg, args.resume, not args.no_eval)
        print(f"run:      {folder}\ncurves:   visualdl --logdir {cfg['vdl_log_dir']}")  # noqa: T201
    elif args.command == "eval":
        print(", ".join(f"{name} {value}" for name, value in runner.evaluate(cfg, args.weights).items()))  # noqa: T201
    else:
        folder = runner.infer(cfg, args.image, args.weights, args.threshold, args.output)
        print(f"drawings and bbox.json: {folder}")  # noqa: T201


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m ppeffconv.integrations.ppdet", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    train, evaluate, infer = (commands.add_parser(name) for name in ("train", "eval", "infer"))
    for command in (train, evaluate, infer):
        command.add_argument("-c", "--config", required=True, metavar="YAML")
        command.add_argument("-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    train.add_argument("-r", "--resume", nargs="?", const="auto", metavar="auto|CHECKPOINT")
    train.add_argument("--no-eval", action="store_true", help="do not evaluate with each checkpoint")
    for command in (evaluate, infer):
        command.add_argument("--weights", metavar="PATH", help="default: the run's last or best")
    infer.add_argument("--image", required=True, help="an image or a folder of images")
    infer.add_argument("--threshold", type=float, default=0.5, help="lowest score that is drawn")
    infer.add_argument("--output", metavar="DIR", help="default: infer/ in the run's folder")
    return top


if __name__ == "__main__":
    cli.run(main, parser())
