"""The loader: built once, found by what it was made from, never half-written, and an error only where one is due."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ppeffconv.ops import backend, build, loader

ROOT = Path(__file__).resolve().parents[2]
compiled = pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")
RUN = "import paddle, ppeffconv; y = ppeffconv.ops.conv2d(paddle.ones([1, 1, 3, 3]), paddle.ones([1, 1, 3, 3])); "


def python(code, **environment):
    """Run a line in a fresh interpreter, with the package's log on stderr."""
    code = "from ppeffconv.utils import logger; logger.setup(); " + code
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """custom_ops/ with one small source that needs neither Paddle nor oneDNN, and an empty cache."""
    folder = tmp_path / "custom_ops"
    (folder / "cpu").mkdir(parents=True)
    (folder / "cpu" / "one.cc").write_text('#include "common.h"\nextern "C" int one() { return ONE; }\n')
    (folder / "common.h").write_text("#define ONE 1\n")
    monkeypatch.setattr(build, "SOURCE_FOLDERS", (folder,))
    monkeypatch.setattr(build, "onednn_headers", lambda: folder)
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path / "home"))
    return folder


@pytest.mark.parametrize("name", ["cpu/one.cc", "common.h"])
def test_the_key_changes_with_every_source_and_header(sources, name):
    before = build.key()
    assert build.key() == before
    (sources / name).write_text((sources / name).read_text() + "\n")
    assert build.key() != before


def test_the_key_changes_with_paddle_and_flags(sources, monkeypatch):
    keys = {build.key()}
    monkeypatch.setattr("paddle.version.commit", "another")
    keys.add(build.key())
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    keys.add(build.key())
    monkeypatch.setenv("PPEFFCONV_OPS_FLAGS", "-fsanitize=address -g1")
    keys.add(build.key())
    assert len(keys) == 4
    assert build.command("g++", sources, sources, None, [])[len(build.FLAGS) + 1 :][:2] == ["-fsanitize=address", "-g1"]


@compiled
def test_a_missing_argument_of_a_compiled_op_is_an_error():
    with pytest.raises(TypeError, match="ddf takes 7 arguments, got 2"):
        loader.call("ddf", None, None)


@pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
def test_eight_processes_build_once(sources, tmp_path, monkeypatch):
    count = tmp_path / "count"
    wrapper = tmp_path / "cxx"
    wrapper.write_text(f'#!/bin/sh\necho x >> {count}\nsleep 1\nexec {build.compiler()} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=build.build) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert build.find() == build.candidates()[1]
    assert count.read_text().split() == ["x"]


@pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
def test_a_failed_build_leaves_nothing_and_shows_the_compilers_words(sources, tmp_path):
    (sources / "cpu" / "one.cc").write_text("int one() { return two; }\n")
    with pytest.raises(build.BuildError, match="two"):
        build.build()
    assert build.find() is None
    assert not list((tmp_path / "home").rglob("*.partial"))


def test_a_build_that_is_under_way_is_not_loaded(sources):
    path = build.candidates()[1]
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.123.partial").write_bytes(b"half")
    assert build.find() is None
    assert "not been compiled" in loader._load().reason


def test_a_damaged_library_is_told_and_plain_paddle_runs(sources):
    path = build.candidates()[1]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x7fELF damaged")
    library = loader._load()
    assert not library.ops
    assert library.reason


def test_no_compiler_is_said_in_one_line(sources, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(build.BuildError, match="no C\\+\\+ compiler") as error:
        build.build()
    assert "\n" not in str(error.value)


def test_without_a_library_paddle_runs_and_says_so_once(tmp_path):
    result = python(RUN * 2 + "print(float(y))", PPEFFCONV_HOME=str(tmp_path), PPEFFCONV_OPS="auto", PATH="")
    assert result.stdout.strip() == "9.0"
    assert result.stderr.count("plain Paddle runs every op") == 1


@pytest.mark.parametrize("mode", ["cpu", "cuda"])
def test_a_forced_backend_that_is_missing_is_an_error(tmp_path, mode):
    result = python(RUN, PPEFFCONV_HOME=str(tmp_path), PPEFFCONV_OPS=mode)
    assert result.returncode
    assert f"backend '{mode}' was asked for" in result.stderr


def test_an_unknown_mode_is_an_error(monkeypatch):
    monkeypatch.setenv("PPEFFCONV_OPS", "fast")
    with pytest.raises(ValueError, match="PPEFFCONV_OPS must be one of"):
        backend.choose_backend("conv2d", "auto")


def test_reference_loads_nothing(monkeypatch):
    result = python(RUN + "from ppeffconv.ops import loader; print(loader._library)", PPEFFCONV_OPS="reference")
    assert result.stdout.strip() == "None"


def test_the_doctor_names_every_op(tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "ppeffconv.ops"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PPEFFCONV_HOME": str(tmp_path), "PPEFFCONV_OPS": "auto"}
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    for word in (*backend.KERNELS, "Paddle", "compiler", "CUDA", "CPU", "python -m ppeffconv.ops build"):
        assert word in text


@compiled
def test_only_paddles_openmp_is_linked():
    assert b"libgomp" not in loader.library().path.read_bytes()


@compiled
def test_a_forked_worker_does_not_hang_after_an_op_ran():
    code = (
        "import paddle, ppeffconv; from ppeffconv.utils import runtime; runtime.set_threads(2)\n"
        "class Data(paddle.io.Dataset):\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, i):\n"
        "        return ppeffconv.ops.conv2d(paddle.ones([1, 8, 9, 9]), paddle.ones([8, 8, 3, 3])).numpy()\n"
        "ppeffconv.ops.conv2d(paddle.ones([4, 8, 32, 32]), paddle.ones([8, 8, 3, 3]), backend='cpu')\n"
        "print(sum(float(b.sum()) for b in paddle.io.DataLoader(Data(), num_workers=2, batch_size=None)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == str(4 * 8 * 49 * 72.0), run.stderr[-2000:]


@compiled
def test_a_library_in_the_package_is_found_first(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "PACKAGE", tmp_path)
    inside = tmp_path / "lib" / loader.library().path.name
    inside.parent.mkdir()
    shutil.copy(loader.library().path, inside)
    assert build.find() == inside
