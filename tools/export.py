"""Export a trained network for inference: python tools/export.py -c output/RUN/config.yaml"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.commands.export import run

if __name__ == "__main__":
    run(__doc__)
