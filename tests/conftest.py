"""Every test starts from the same seed."""

from __future__ import annotations

import random

import numpy as np
import paddle
import pytest


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    paddle.seed(0)
