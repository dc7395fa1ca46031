"""Packages that import their names when they are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ppeffconv
from ppeffconv import ops, weights

ROOT = Path(__file__).parents[2]
PACKAGES = {package.__name__: package for package in (ppeffconv, ops, weights)}
# each module on its own, so that none depends on what another has imported before it
EACH_ALONE = """
import os, pkgutil, sys
import paddle
import ppeffconv
names = [module.name for module in pkgutil.walk_packages(ppeffconv.__path__, "ppeffconv.")]
skipped = ("__main__", ".integrations.", ".peers", "._C")
for name in names:
    if any(part in name for part in skipped):
        continue
    if (child := os.fork()) == 0:
        __import__(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"import {name} fails")
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there(package):
    for name in PACKAGES[package].__all__:
        assert getattr(PACKAGES[package], name) is not None
    assert set(PACKAGES[package].__all__) <= set(dir(PACKAGES[package]))
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        PACKAGES[package].nothing  # noqa: B018


def test_a_function_is_not_hidden_by_the_module_of_its_name():
    import ppeffconv.accelerate
    import ppeffconv.ops.conv2d
    import ppeffconv.weights.table

    assert all(callable(found) for found in (ppeffconv.accelerate, ops.conv2d, weights.table))
    from ppeffconv.ops.conv2d import check_conv2d

    assert callable(check_conv2d)


def test_every_module_can_be_imported_first():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EACH_ALONE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
