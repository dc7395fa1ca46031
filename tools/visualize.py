"""Draw what a network does to images: masks, gates, groups, filters: tools/visualize.py -c RUN/config.yaml --image X"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli


def main(args: argparse.Namespace) -> None:
    from ppeffconv.engine.trained import draw_network
    from ppeffconv.integrations import recognise

    owner = recognise.owner_of(args.config)
    if owner == recognise.OURS:
        output = args.output or args.config.parent / "pictures.png"
        print(f"picture: {draw_network(cli.read_config(args), args.image, output, args.weights)}")
        return
    try:
        import_module(f"ppeffconv.integrations.{owner}").register()
    except ImportError as error:
        raise RuntimeError(str(error)) from None
    draw = detection if owner == recognise.DETECTION else segmentation
    print(f"picture: {draw(args)}")


def detection(args: argparse.Namespace) -> Path:
    from ppeffconv.integrations.ppdet import config
    from ppeffconv.integrations.ppdet.drawing import draw_features

    weights = None if args.weights is None else str(args.weights)
    return draw_features(config.load(args.config, args.override), args.image, args.output, weights)


def segmentation(args: argparse.Namespace) -> Path:
    from ppeffconv.integrations.ppseg import masks, settings

    cfg = settings.RunConfig(args.config, args.override)
    return masks.draw_masks(cfg, args.image, args.output or cfg.run_dir / "masks.png", args.weights)


if __name__ == "__main__":
    parser = cli.config_parser(__doc__)
    cli.weights_option(parser)
    parser.add_argument(
        "--image",
        type=cli.path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="images, folders: a line for each image",
    )
    parser.add_argument("--output", type=cli.path, metavar="PNG", help="default: pictures.png or masks.png in the run")
    cli.run(main, parser)
