"""`.ci/ptxas.py`: what it reads from the assembler's words, and what it refuses."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from . import emulated


@pytest.fixture(scope="module")
def ptxas():
    spec = importlib.util.spec_from_file_location("ptxas", emulated.ROOT / ".ci" / "ptxas.py")
    module = sys.modules["ptxas"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def log(name="_Z3oneIfEvPf", architecture="sm_80", registers=68, shared=1536, stack=0, spills=0):
    """What ptxas says of one kernel, as of CUDA 13."""
    memory = f", {shared} bytes smem" if shared else ""
    return f"""\
ptxas info    : Compiling entry function '{name}' for '{architecture}'
ptxas info    : Function properties for {name}
    {stack} bytes stack frame, {spills} bytes spill stores, {spills} bytes spill loads
ptxas info    : Used {registers} registers, used 1 barriers{memory}, 436 bytes cmem[0]
ptxas info    : Compile time = 12.3 ms
"""


def test_reads_every_kernel(ptxas):
    noise = "ptxas info    : 0 bytes gmem\n"
    first, second = ptxas.parse(noise + log() + log("_Z3twov", "sm_90", registers=16, shared=0))
    assert (first.name, first.architecture, first.registers, first.shared) == ("_Z3oneIfEvPf", "sm_80", 68, 1536)
    assert (second.architecture, second.registers, second.shared, second.spills) == ("sm_90", 16, 0, 0)
    assert not first.faults()
    assert not second.faults()


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"spills": 4}, "8 bytes of spilled registers"),
        ({"stack": 8}, "8 bytes of stack"),
        ({"registers": 129}, "129 registers, more than 128"),
        ({"shared": 49153}, "49153 bytes of shared memory, more than 49152"),
    ],
)
def test_names_what_exceeds_the_limits(ptxas, tmp_path, capsys, figures, message):
    path = tmp_path / "log"
    path.write_text(log() + log("_Z3twov", **figures))
    assert ptxas.main([str(path)]) == 1
    assert f"_Z3twov (sm_80): {message}" in capsys.readouterr().out


def test_passes_what_is_within_them(ptxas, tmp_path, capsys):
    path = tmp_path / "log"
    path.write_text(log(registers=128, shared=49152) + log(architecture="sm_90"))
    assert ptxas.main([str(path)]) == 0
    text = capsys.readouterr().out
    assert "sm_80" in text
    assert "sm_90" in text
    assert "2 kernels, 0 faults" in text


def test_a_log_without_kernels_is_no_success(ptxas, tmp_path):
    path = tmp_path / "log"
    path.write_text("nvcc fatal   : Unsupported gpu architecture\n")
    assert ptxas.main([str(path)]) == 1


def test_a_kernel_without_figures_is_a_fault(ptxas):
    (kernel,) = ptxas.parse(log().splitlines()[0])
    assert kernel.faults() == ["ptxas did not say what it uses"]
