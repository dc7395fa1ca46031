"""The kernels compiled for the CPU, once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from . import emulated


def _compile(folder: Path, *flags: str, **source: str) -> Path:
    if reason := emulated.missing():
        pytest.skip(reason)
    return emulated.compile_library(folder / "kernels.so", *flags, **source)


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    return _compile(tmp_path_factory.mktemp("emulation"))


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory) -> Path:
    flags = ("-Og", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    return _compile(tmp_path_factory.mktemp("sanitized"), *flags)


@pytest.fixture(scope="session")
def glue(tmp_path_factory) -> Callable:
    """Run a function of `cuda/api.h` by its name, on tensors on the CPU."""
    import paddle
    from paddle.utils import cpp_extension

    paddles = cpp_extension.CppExtension(sources=["glue.cc"])
    flags = [f"-isystem{path}" for path in paddles.include_dirs] + [f"-I{emulated.ROOT / 'custom_ops'}"]
    flags += [*paddles.extra_compile_args, *(f"-L{path}" for path in paddles.library_dirs), *paddles.extra_link_args]
    library = _compile(tmp_path_factory.mktemp("glue"), *flags, source="glue.cc")
    cpp_extension.load_op_meta_info_and_register_op(str(library))
    return lambda name, *arguments: paddle._C_ops._run_custom_op(f"emulated_{name}", *arguments)
