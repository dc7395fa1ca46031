"""The toolkits themselves: without one of them its tests are skipped."""

from __future__ import annotations

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
