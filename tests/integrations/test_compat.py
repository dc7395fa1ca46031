"""What the integrations share."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import paddle
import pytest

from ppeffconv.integrations import compat


@pytest.mark.parametrize("toolkit", ["ppdet", "ppseg"])
def test_without_the_toolkit_one_line_says_what_to_install(toolkit):
    code = (
        "import importlib.metadata as m, runpy, sys\n"
        "real = m.version\n"
        "def version(name):\n"
        "    if name in ('paddledet', 'paddleseg'): raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
        f"sys.argv = ['x', 'train', '-c', 'x.yaml']\n"
        f"runpy.run_module('ppeffconv.integrations.{toolkit}', run_name='__main__')\n"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    extra = {"ppdet": "det", "ppseg": "seg"}[toolkit]
    assert result.stderr.splitlines()[-1].endswith(f"is not installed: pip install 'ppeffconv[cpu,{extra}]'")
    assert "Traceback" not in result.stderr


def test_another_version_of_the_toolkit(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.7.0")
    with pytest.raises(RuntimeError, match=r"paddledet 2.7.0 is installed, but .* 2.6.0: pip install"):
        compat.require("paddledet", "2.6.0", ("3.3",), "det")


def test_another_version_of_paddle(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: "2.6.0")
    monkeypatch.setattr(paddle, "__version__", "2.6.2")
    with pytest.raises(RuntimeError, match=r"Paddle 2.6.2 is installed, but .* with 3.3"):
        compat.require("paddledet", "2.6.0", ("3.3",), "det")


def test_a_proxy_replaces_and_passes_on():
    proxy = compat.ModuleProxy(paddle, concat=compat.concat)
    assert proxy.concat is compat.concat
    assert proxy.nn is paddle.nn
    assert paddle.concat is not compat.concat
    with pytest.raises(AttributeError):
        _ = proxy.no_such_thing


def test_concat_takes_tensors_without_axes():
    got = compat.concat([paddle.to_tensor(1.0), paddle.to_tensor([2.0, 3.0])])
    assert got.tolist() == [1.0, 2.0, 3.0]
