"""Compose scenes of Fashion-MNIST garments for detection, segmentation and depth: python tools/make_scenes.py"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.engine import cli
from ppeffconv.utils import cores


def main(args: argparse.Namespace) -> None:
    from ppeffconv.data.scenes import SceneSettings, make_scenes
    from ppeffconv.data.sources import data_home

    if len(args.size) > 2:
        raise ValueError(f"--size takes one side or height and width, got {len(args.size)} numbers")
    height, width = args.size[0], args.size[-1]
    fewest, most = args.garments
    settings = SceneSettings(args.train, args.val, height, width, args.seed, fewest, most)
    folder = make_scenes(args.output or data_home() / "scenes", settings, args.root, args.workers)
    print(f"scenes: {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--output", type=cli.path, metavar="FOLDER", help="by default scenes/ beside the other data sets"
    )
    parser.add_argument("--root", type=cli.path, metavar="FOLDER", help="where Fashion-MNIST is")
    parser.add_argument("--train", type=int, default=2000, help="scenes of garments from the training part")
    parser.add_argument("--val", type=int, default=400, help="scenes of garments from the test part")
    parser.add_argument("--size", type=int, nargs="+", default=[192, 192], help="height and width")
    parser.add_argument("--garments", type=int, nargs=2, default=[3, 12], help="fewest, most")
    parser.add_argument("--seed", type=int, default=0, help="equal settings give equal scenes")
    parser.add_argument("--workers", type=int, default=cores.threads(), help="processes")
    cli.run(main, parser)
