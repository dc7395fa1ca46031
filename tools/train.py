"""Train a network from a YAML file: python tools/train.py -c configs/quickstart.yaml -o Global.epochs=1"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli
from ppeffconv.engine.distributed import rank
from ppeffconv.engine.trainer import Trainer


def main(args: argparse.Namespace) -> None:
    result = Trainer(cli.read_config(args)).train(args.resume)
    if rank() == 0:
        print(cli.next_steps(result))


if __name__ == "__main__":
    parser = cli.config_parser(__doc__)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|DIR",
        help="continue the newest run of this name, or the run or checkpoint in DIR",
    )
    cli.run(main, parser)
