"""Classify images: python tools/predict.py -c output/RUN/config.yaml --image PICTURE_OR_FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.commands.predict import run

if __name__ == "__main__":
    run(__doc__)
