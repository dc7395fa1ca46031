"""A short run of the fuzzer of every op, plain and under AddressSanitizer, and the proof that this one sees errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ppeffconv.ops import backend, build, loader

from .fuzz import sanitizer
from .fuzz.run import FUZZERS

compiled = pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")
sanitised = pytest.mark.skipif(not sanitizer.library("libasan.so"), reason="the compiler has no AddressSanitizer")


def test_every_op_with_kernels_is_fuzzed():
    assert set(FUZZERS) == set(backend.KERNELS)


@pytest.mark.parametrize("op", [pytest.param(op, marks=compiled) if op == "deployed" else op for op in FUZZERS])
def test_malformed_calls_raise_errors_and_others_compute_the_same(op):
    FUZZERS[op](cases=200, first_seed=0)


@compiled
@sanitised
def test_malformed_calls_under_the_sanitizer():
    done = sanitizer.python(["-m", "tests.ops.fuzz", "--asan", "--cases", "60"])
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("passed") == len(FUZZERS)


@pytest.fixture(scope="module")
def out_of_bounds(tmp_path_factory):
    """Runs the op in out_of_bounds.cc, compiled with the sanitizer, in a process of its own."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "cpu").mkdir()
    shutil.copy(Path(sanitizer.__file__).with_name("out_of_bounds.cc"), folder / "cpu")
    code = (
        "import paddle, pathlib; from ppeffconv.ops import build, loader\n"
        f"build.SOURCE_FOLDERS = (pathlib.Path({str(folder)!r}),)\n"
    )
    home, headers = str(tmp_path_factory.mktemp("home")), str(build.onednn_headers())
    variables = sanitizer.environment(code + "build.build()", PPEFFCONV_HOME=home, ONEDNN_INCLUDE=headers)

    def call(read, written):
        call = f"loader.library(); loader.call('out_of_bounds', paddle.ones([8]), {read}, {written}); print('survived')"
        return sanitizer.python(["-c", code + call], variables)

    return call


@compiled
@sanitised
@pytest.mark.parametrize(("read", "written", "found"), [(8, 0, "READ of size 4"), (0, 8, "WRITE of size 4")])
def test_the_sanitizer_sees_one_number_out_of_bounds(read, written, found, out_of_bounds):
    done = out_of_bounds(read, written)
    assert "survived" not in done.stdout
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
    assert found in done.stderr
