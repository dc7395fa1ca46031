"""Train a network from a YAML file: ppeffconv-train -c configs/quickstart.yaml -o Global.epochs=1"""

from __future__ import annotations

import argparse

from ..engine import cli


def main(args: argparse.Namespace) -> None:
    from ..engine.distributed import rank
    from ..engine.trainer import Trainer

    if args.extend is not None:
        args.override.append(f"Global.epochs={args.extend}")
    result = Trainer(cli.read_config(args, recipes=True)).train(args.resume, extend=args.extend is not None)
    if rank() == 0:
        print(cli.next_steps(result))


def run(description: str | None = __doc__) -> None:
    """Run the program, described so by its ``-h``."""
    parser = cli.config_parser(description)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|DIR",
        help="continue the run that YAML lies in, else the newest run of this name; or the run or checkpoint in DIR",
    )
    parser.add_argument(
        "--extend",
        type=int,
        metavar="EPOCHS",
        help="resume, and train to EPOCHS epochs in all, more than the run was meant to have. A cosine schedule goes "
        "on as that of the longer run: the rate rises at once to what it would be there, and falls to the new end",
    )
    cli.run(main, parser)
