"""List the networks: python tools/list_models.py "sp_*" --profile 224"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ppeffconv
from ppeffconv.engine import cli
from ppeffconv.registry import did_you_mean


def main(args: argparse.Namespace) -> None:
    if args.papers:
        from benchmarks.accuracy import papers

        papers.write(args.papers)
        return
    names = ppeffconv.list_models(args.pattern)
    if not names:
        raise ValueError(f"no network matches '{args.pattern}'.{did_you_mean(args.pattern, ppeffconv.list_models())}")
    for name in names:
        print(facts(name, args))


def facts(name: str, args: argparse.Namespace) -> str:
    if not (args.params or args.profile):
        return name
    net = ppeffconv.create_model(name)
    if not args.profile:
        from ppeffconv.models import count_parameters

        return f"{name:32s}{count_parameters(net) / 1e6:10.3f} M"
    frames = getattr(net, "frames", None)
    shape = (getattr(net, "in_channels", 3), *([frames] if frames else []), args.profile, args.profile)
    profile = ppeffconv.profile(net, (1, *shape))
    clip = f" for {frames} frames" if frames else ""
    return f"{name:32s}{profile.params / 1e6:10.3f} M{profile.macs / 1e9:10.3f} G MACs{clip}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*", help='shell wildcard, such as "oct_*"')
    parser.add_argument("--params", action="store_true", help="with the number of parameters (builds every network)")
    parser.add_argument("--profile", type=int, metavar="SIZE", help="with multiply-adds for SIZE x SIZE images, too")
    text = "write the table of the papers' figures into the README of a folder, configs/papers"
    parser.add_argument("--papers", type=cli.path, metavar="FOLDER", help=text)
    cli.run(main, parser)
