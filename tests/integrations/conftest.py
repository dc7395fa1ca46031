"""The toolkits themselves: without one of them its tests are skipped."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test in a toolkit's folder begins with this package's networks registered, and in an empty folder."""
    toolkit = request.path.parent.name
    if toolkit in ("ppdet", "ppseg"):
        try:
            import_module(f"ppeffconv.integrations.{toolkit}").register()
        except ImportError as error:
            pytest.skip(str(error))
        monkeypatch.chdir(tmp_path)


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A context in which no file can grow beyond 200 000 bytes, which a checkpoint has more of, and a log has not."""

    @contextmanager
    def limited() -> Iterator[None]:
        before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limited
