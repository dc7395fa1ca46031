"""Export a trained network for inference: python tools/export.py -c output/RUN/config.yaml"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli
from ppeffconv.engine.inference import export_run


def main(args: argparse.Namespace) -> None:
    path = export_run(cli.read_config(args), args.output, args.weights)
    print(f"exported and checked: {path}")


if __name__ == "__main__":
    parser = cli.config_parser(__doc__)
    cli.weights_option(parser)
    parser.add_argument(
        "--output", metavar="PATH", help="without a suffix; default: export/model beside the configuration"
    )
    cli.run(main, parser)
