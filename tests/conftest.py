"""Every test starts from the same seed, and whatever ends a worker ends the run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from unittest import mock

import numpy as np
import paddle
import pytest

from .watchdog import pytest_addoption, pytest_configure, pytest_sessionstart  # noqa: F401 - hooks

# begun first, so that at the end no worker waits long for another
LONG = ("test_fuzz.py", "test_perturbed.py", "test_processes.py", "test_readme.py", "test_deploy.py", "test_cores.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def _seeded():
    random.seed(0)
    np.random.seed(0)
    paddle.seed(0)


@pytest.fixture
def own_methods() -> Iterator[None]:
    """What a test registers is gone after it."""
    from ppeffconv.layers import METHODS
    from ppeffconv.models import factory

    with (
        mock.patch.dict(METHODS._entries),
        mock.patch.dict(factory.MODELS._entries),
        mock.patch.object(factory, "_with_networks", set(factory._with_networks)),
    ):
        yield
