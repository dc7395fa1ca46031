"""Classify images: ppeffconv-predict -c output/RUN/config.yaml --image PICTURE_OR_FOLDER"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..engine import cli

if TYPE_CHECKING:
    from ..inference.images import Predictions


def main(args: argparse.Namespace) -> int:
    from ..engine.trained import network_parts
    from ..inference.images import exported_parts, find_images, predict_images

    if (args.config is None) == (args.model is None):
        raise ValueError("give either -c CONFIG or --model EXPORTED")
    files = find_images(args.image)
    cfg = cli.read_config(args) if args.config else None
    parts = network_parts(cfg, args.weights) if cfg else exported_parts(args.model)
    topk = (cfg["Infer"]["topk"] if cfg else 5) if args.topk is None else args.topk
    predictions = predict_images(files=files, topk=topk, **parts)
    print(json.dumps(asdict(predictions), indent=2, ensure_ascii=False) if args.json else _table(predictions))
    for file, reason in predictions.broken.items():
        print(f"cannot use {file}: {reason}", file=sys.stderr)
    if predictions.broken:
        print(f"{len(predictions.broken)} of {len(files)} images could not be used", file=sys.stderr)
    return 0 if predictions.guesses else 1


def _table(predictions: Predictions) -> str:
    """A line for each file, with its guesses."""
    return "\n".join(
        f"{file}  " + "  ".join(f"{guess.class_name} {100 * guess.score:.2f} %" for guess in guesses)
        for file, guesses in predictions.guesses.items()
    )


def run(description: str | None = __doc__) -> None:
    """Run the program, described so by its ``-h``."""
    parser = cli.config_parser(description, required=False)
    cli.weights_option(parser)
    parser.add_argument(
        "--model", type=cli.path, metavar="FOLDER", help="an exported folder, instead of a configuration"
    )
    parser.add_argument(
        "--image", type=cli.path, required=True, metavar="PATH", help="an image, or a folder with images at any depth"
    )
    parser.add_argument("--topk", type=int, help="guesses per image; default: Infer.topk")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    cli.run(main, parser)
