"""Every test starts from the same seed, and whatever ends a worker ends the run."""

from __future__ import annotations

import random

import numpy as np
import paddle
import pytest

from .watchdog import pytest_addoption, pytest_configure, pytest_sessionstart  # noqa: F401 - hooks


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    paddle.seed(0)
