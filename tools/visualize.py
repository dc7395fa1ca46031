"""Draw the sampling masks of a PaddleSeg run over images: python tools/visualize.py -c RUN/config.yaml --image *.jpg"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli
from ppeffconv.integrations import ppseg


def main(args: argparse.Namespace) -> None:
    try:
        ppseg.register()
    except ImportError as error:
        raise RuntimeError(str(error)) from None
    from ppeffconv.integrations.ppseg import masks, settings

    cfg = settings.RunConfig(args.config, args.override)
    print(f"picture: {masks.draw_masks(cfg, args.image, args.output or cfg.run_dir / 'masks.png', args.weights)}")


if __name__ == "__main__":
    parser = cli.config_parser(__doc__)
    cli.weights_option(parser)
    parser.add_argument("--image", nargs="+", required=True, metavar="FILE", help="one row of the picture each")
    parser.add_argument("--output", type=Path, metavar="PNG", help="default: masks.png in the run's folder")
    cli.run(main, parser)
