"""Run PaddleDetection: python -m ppeffconv.integrations.ppdet train -c configs/detection/NAME.yaml"""

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
    from . import config, runner

    cfg = config.load(args.config, args.override)
    folder = runner.train(cfg, args.resume, not args.no_eval)
    print(f"run:      {folder}\ncurves:   visualdl --logdir {cfg['vdl_log_dir']}")


def evaluate(args: argparse.Namespace) -> None:
    from . import config, runner

    scores = runner.evaluate(config.load(args.config, args.override), args.weights)
    print(", ".join(f"{name} {value}" for name, value in scores.items()))


def infer(args: argparse.Namespace) -> None:
    from . import config, runner

    cfg = config.load(args.config, args.override)
    print(f"drawings: {runner.infer(cfg, args.image, args.weights, args.threshold, args.output)}")


def speed(args: argparse.Namespace) -> None:
    from . import config, speed

    result = speed.compare_steps(config.load(args.config, args.override), args.rounds)
    Path(args.output).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{result['speedup']:.2f} times as fast: {args.output}")


def measure(args: argparse.Namespace) -> None:
    from .speed import measure_runs

    measure_runs([Path(run) for run in args.runs], args.rounds)


def table(args: argparse.Namespace) -> None:
    from . import table

    rows = table.collect(Path(args.runs))
    document = Path(args.into)
    table.write(document, table.render(rows))
    document.with_name("results.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="python -m ppeffconv.integrations.ppdet", description=__doc__)
    commands = top.add_subparsers(required=True)

    def command(function, text: str, config: bool = True) -> argparse.ArgumentParser:
        name = "eval" if function is evaluate else function.__name__
        own = commands.add_parser(name, help=text, description=text)
        own.set_defaults(run=function)
        if config:
            own.add_argument("-c", "--config", required=True, metavar="YAML")
            own.add_argument("-o", "--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
        return own

    own = command(train, "train a detector")
    own.add_argument("-r", "--resume", nargs="?", const="auto", metavar="auto|CHECKPOINT")
    own.add_argument("--no-eval", action="store_true", help="do not evaluate with each checkpoint")
    own = command(evaluate, "evaluate a detector")
    own.add_argument("--weights", metavar="PATH", help="default: the run's last, else its best")
    own = command(infer, "draw what a detector finds")
    own.add_argument("--weights", metavar="PATH", help="default: the run's last, else its best")
    own.add_argument("--image", required=True, help="an image or a folder of images")
    own.add_argument("--threshold", type=float, default=0.5, help="lowest score that is drawn")
    own.add_argument("--output", metavar="DIR", help="default: infer/ in the run's folder")
    own = command(speed, "time a training step with the compiled kernels and without")
    own.add_argument("--rounds", type=int, default=10)
    own.add_argument("--output", required=True, metavar="JSON")
    own = command(measure, "time finished runs side by side", config=False)
    own.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    own.add_argument("--rounds", type=int, default=20)
    own = command(table, "make the table of a README", config=False)
    own.add_argument("--runs", required=True, metavar="DIR", help="folder under which the runs are")
    own.add_argument("--into", required=True, metavar="README")
    return top


if __name__ == "__main__":
    cli.run(main, parser())
