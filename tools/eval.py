"""Evaluate a trained network: python tools/eval.py -c output/RUN/config.yaml"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli


def main(args: argparse.Namespace) -> None:
    from ppeffconv.engine.distributed import rank
    from ppeffconv.engine.evaluator import describe_result
    from ppeffconv.engine.trained import evaluate_run

    result = evaluate_run(cli.read_config(args), args.weights)
    if rank() == 0:
        print(describe_result(result))


if __name__ == "__main__":
    parser = cli.config_parser(__doc__)
    cli.weights_option(parser)
    cli.run(main, parser)
