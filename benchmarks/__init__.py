"""What measures and reports, outside the installed package: `speed` beside other engines, `accuracy` after training."""

import ppeffconv  # noqa: F401 - before Paddle, which writes a thread count into the environment: see utils/cores.py
