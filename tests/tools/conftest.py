"""Runs the tools as a shell would, in this process or in one of their own."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..engine.conftest import close_log, image_root, make_cfg, tiny_net  # noqa: F401 - fixtures

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return run(name, *arguments) -> exit code; a traceback would come out as an exception."""

    def run(name: str, *arguments: object) -> int:
        script = TOOLS / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        with pytest.raises(SystemExit) as leaving:
            runpy.run_path(str(script), run_name="__main__")
        return leaving.value.code

    return run
