"""Draw what a network does to images: masks, octave groups, filters: tools/visualize.py -c RUN/config.yaml --image X"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli


def main(args: argparse.Namespace) -> None:
    from ppeffconv.config_yaml import read_yaml
    from ppeffconv.engine import drawing
    from ppeffconv.integrations import ppseg

    if "Arch" in (read_yaml(args.config) or {}):
        cfg = cli.read_config(args)
        output = args.output or args.config.parent / "pictures.png"
        print(f"picture: {drawing.draw_network(cfg, args.image, output, args.weights)}")
        return
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
    parser.add_argument(
        "--image", type=cli.path, nargs="+", required=True, metavar="FILE", help="one row of the picture each"
    )
    parser.add_argument("--output", type=cli.path, metavar="PNG", help="default: pictures.png or masks.png in the run")
    cli.run(main, parser)
