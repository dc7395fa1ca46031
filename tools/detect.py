"""PaddleDetection in several processes: python -m paddle.distributed.launch tools/detect.py train -c CONFIG

In one process, ``python -m ppeffconv.integrations.ppdet`` is the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppeffconv.integrations.ppdet.__main__ import commands

if __name__ == "__main__":
    commands().run()
