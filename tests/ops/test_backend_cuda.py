"""Which backend runs what beside kernels for GPUs; tensors and library stand for those of a machine with a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import paddle
import pytest

from ppeffconv.ops import backend, build, loader


class Place:
    def __init__(self, device):
        self.device = device

    def is_cpu_place(self):
        return self.device == "cpu"

    def is_gpu_place(self):
        return self.device == "gpu"

    def __str__(self):
        return f"Place({self.device})"


def tensor(device="gpu", dtype=paddle.float16):
    return SimpleNamespace(place=Place(device), dtype=dtype)


@pytest.fixture
def library(monkeypatch):
    """Make a library the loaded one, with kernels for GPUs or without."""

    def use(cuda=True, mode="auto"):
        path = Path("ppeffconv_ops_0_cuda.so" if cuda else "ppeffconv_ops_0.so")
        monkeypatch.setattr(loader, "_library", loader.Library(path, frozenset(backend.KERNELS)))
        monkeypatch.setenv("PPEFFCONV_OPS", mode)

    return use


@pytest.mark.parametrize("op", backend.CUDA_KERNELS)
def test_auto_goes_where_the_tensors_are(library, op):
    library()
    for dtype in (paddle.float32, paddle.float16, paddle.bfloat16):
        assert backend.choose_backend(op, "auto", tensor(dtype=dtype)) == "cuda"
    assert backend.choose_backend(op, "cuda", tensor()) == "cuda"
    assert backend.choose_backend(op, "auto", tensor("cpu", paddle.float64)) == "cpu"
    assert backend.choose_backend(op, "auto", tensor("cpu")) == "reference"


def test_auto_leaves_to_paddle_what_has_no_kernel(library):
    library()
    assert backend.choose_backend("ddf", "auto", tensor(dtype=paddle.float64)) == "reference"
    assert backend.choose_backend("ddf", "auto", tensor(), tensor("cpu")) == "reference"
    assert backend.choose_backend("conv2d", "auto", tensor(dtype=paddle.float32)) == "reference"
    library(cuda=False)
    assert backend.choose_backend("ddf", "auto", tensor()) == "reference"


def test_what_was_asked_for_by_name_is_an_error_where_it_cannot_be(library):
    library()
    with pytest.raises(RuntimeError, match=r"a tensor is on Place\(cpu\)"):
        backend.choose_backend("ddf", "cuda", tensor("cpu"))
    with pytest.raises(RuntimeError, match="does not take paddle.float64"):
        backend.choose_backend("ddf", "cuda", tensor(dtype=paddle.float64))
    with pytest.raises(RuntimeError, match="the loaded library lacks this op"):
        backend.choose_backend("conv2d", "cuda", tensor())
    library(cuda=False)
    with pytest.raises(RuntimeError, match="no compiled kernels for GPUs"):
        backend.choose_backend("ddf", "cuda", tensor())


def test_a_process_for_cuda_lets_paddle_run_the_rest(library):
    library(mode="cuda")
    assert backend.choose_backend("ddf", "auto", tensor()) == "cuda"
    assert backend.choose_backend("conv2d", "auto", tensor()) == "reference"
    library(cuda=False, mode="cuda")
    with pytest.raises(RuntimeError, match="no compiled kernels for GPUs"):
        backend.choose_backend("conv2d", "auto", tensor())


def test_status_names_both(library):
    library()
    assert backend.status()["ddf"].startswith("cpu, cuda (")
    assert backend.status()["conv2d"].startswith("cpu (")


def test_a_library_with_kernels_for_gpus_comes_first_where_paddle_is_for_them(monkeypatch):
    assert not any(map(build.has_cuda, build.candidates()))
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    assert [build.has_cuda(path) for path in build.candidates()] == [True, True, False, False]


def test_paddle_for_cpus_needs_no_nvcc():
    assert build.cuda_compiler() is None


def test_every_cuda_source_is_compiled_for_every_architecture():
    sources = build.cuda_sources()
    assert {"ddf", "filter_norm", "octave", "sample_interpolate", "sampled_conv2d"} <= {path.stem for path in sources}
    command = build.cuda_command("/cuda/bin/nvcc", sources[0], Path("out.o"), (75, 90), "-v")
    for argument in (str(sources[0]), "-DPPEFFCONV_WITH_CUDA", "arch=compute_75,code=sm_75", "code=compute_90", "-v"):
        assert any(argument in word for word in command)
