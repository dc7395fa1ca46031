"""Evaluate a trained network: ppeffconv-eval -c output/RUN/config.yaml"""

from __future__ import annotations

import argparse

from ..engine import cli


def main(args: argparse.Namespace) -> None:
    from ..engine.distributed import rank
    from ..engine.evaluator import describe_result
    from ..engine.trained import evaluate_run

    result = evaluate_run(cli.read_config(args, recipes=True), args.weights)
    if rank() == 0:
        print(describe_result(result))


def run(description: str | None = __doc__) -> None:
    """Run the program, described so by its ``-h``."""
    parser = cli.config_parser(description)
    cli.weights_option(parser)
    cli.run(main, parser)
