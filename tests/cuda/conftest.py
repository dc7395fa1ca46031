"""The kernels compiled for the CPU, once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import emulated


def _compile(folder: Path, *flags: str) -> Path:
    if reason := emulated.missing():
        pytest.skip(reason)
    return emulated.compile_library(folder / "kernels.so", *flags)


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    return _compile(tmp_path_factory.mktemp("emulation"))


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory) -> Path:
    flags = ("-Og", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    return _compile(tmp_path_factory.mktemp("sanitized"), *flags)
