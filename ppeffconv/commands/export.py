"""Export a trained network for inference: ppeffconv-export -c output/RUN/config.yaml"""

from __future__ import annotations

import argparse

from ..engine import cli


def main(args: argparse.Namespace) -> None:
    from ..engine.trained import export_run
    from ..inference import bundle

    options = {"dtype": args.dtype, "seed": args.seed, "onnx": args.onnx, "fixed_size": args.fixed_size}
    path = export_run(cli.read_config(args), args.output, args.weights, args.stock, **options)
    print(_summary(bundle.read(path)))
    print(f"exported and checked: {path}")


def _summary(info: dict) -> str:
    """What was exported, and how near it is to the network."""
    accuracy, share = info["accuracy"], info["accuracy"]["top1_agreement"]
    agreement = "" if share is None else f", the best class agrees on {100 * share:.0f} %"
    lines = [
        *info["report"]["lowered"],
        f"{info['dtype']}, {'in the compiled engine' if info['engine'] else 'in the operators of Paddle'}",
        f"{accuracy['error']:.1e} standard deviations from the network on {accuracy['images']} images{agreement}",
    ]
    return "\n".join(lines)


def run(description: str | None = __doc__) -> None:
    """Run the program, described so by its ``-h``."""
    parser = cli.config_parser(description)
    cli.weights_option(parser)
    parser.add_argument("--output", type=cli.path, metavar="FOLDER", help="default: export beside the configuration")
    parser.add_argument("--stock", action="store_true", help="Paddle's own operators: slower, but no compiled kernels")
    parser.add_argument("--onnx", action="store_true", help="add model.onnx (pip install .[onnx])")
    parser.add_argument("--dtype", default="float32", help="of the feature maps: float32, bfloat16 or auto, the faster")
    parser.add_argument("--seed", type=int, default=0, help="of the noise of sampling networks")
    parser.add_argument("--fixed-size", action="store_true", help="for one height and width only")
    cli.run(main, parser)
