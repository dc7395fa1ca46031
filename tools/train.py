"""Train a network from a YAML file: python tools/train.py -c configs/quickstart.yaml -o Global.epochs=1"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.commands.train import run

if __name__ == "__main__":
    run(__doc__)
