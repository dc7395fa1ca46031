"""Train a network from a YAML file: python tools/train.py -c configs/quickstart.yaml -o Global.epochs=1"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli


def main(args: argparse.Namespace) -> None:
    from ppeffconv.engine.distributed import rank
    from ppeffconv.engine.trainer import Trainer

    if args.extend is not None:
        args.override.append(f"Global.epochs={args.extend}")
    result = Trainer(cli.read_config(args)).train(args.resume, extend=args.extend is not None)
    if rank() == 0:
        print(cli.next_steps(result))


if __name__ == "__main__":
    parser = cli.config_parser(__doc__)
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
