"""Draw what a network does to images: masks, octave groups, filters: tools/visualize.py -c RUN/config.yaml --image X"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from ppeffconv.engine import cli, drawing
from ppeffconv.integrations import ppseg


def main(args: argparse.Namespace) -> None:
    if "Arch" in (yaml.safe_load(Path(args.config).read_text(encoding="utf-8")) or {}):
        cfg = cli.read_config(args)
        output = args.output or Path(args.config).parent / "pictures.png"
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
    parser.add_argument("--image", nargs="+", required=True, metavar="FILE", help="one row of the picture each")
    parser.add_argument("--output", type=Path, metavar="PNG", help="default: pictures.png or masks.png in the run")
    cli.run(main, parser)
