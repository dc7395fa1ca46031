"""Training in processes of its own: interrupted, killed, shared by two."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from ppeffconv.engine import checkpoint as ck

from ..engine.conftest import tiny_tree
from .conftest import TOOLS


@pytest.fixture
def config(image_root, tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_tree(image_root, tmp_path / "output")))
    return path


def start(*arguments: object, **options) -> subprocess.Popen:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PPEFFCONV_DEBUG")}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": env, **options}
    return subprocess.Popen([sys.executable, *map(str, arguments)], **options)


def wait_for(process: subprocess.Popen, path: Path, text: str) -> None:
    """Wait until the file of a process that runs has the text; `tests.watchdog` ends what waits for ever."""
    while not (path.is_file() and text in path.read_text()):
        assert process.poll() is None, f"it has ended without '{text}' in {path}: {process.communicate()[0]}"
        time.sleep(0.05)


@pytest.mark.parametrize(("signum", "code", "workers"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 0)])
def test_signal_saves_says_so_and_the_run_resumes(config, tmp_path, signum, code, workers):
    options = ["-o", "Global.epochs=500", "Global.log_interval=1", "Optimizer.schedule.name=Constant"]
    options += [f"DataLoader.Train.num_workers={workers}"]
    run = tmp_path / "output" / "tiny"
    process = start(TOOLS / "train.py", "-c", config, *options, cwd=tmp_path, start_new_session=True)
    wait_for(process, run / "train.log", "step 2/6")
    os.killpg(process.pid, signum) if signum == signal.SIGINT else process.send_signal(signum)
    out, _ = process.communicate()
    assert process.returncode == code, out
    assert out.count("finishing this step") == 1  # the loader's workers get the signal too
    assert "Traceback" not in out
    states = ck.load_checkpoint(run / "latest")[ck.STATES]
    steps = 6 * states["epoch"] + states["step"]
    assert f"saved after epoch {states['epoch']}, step {states['step']}" in out
    options[1] = f"Global.epochs={states['epoch'] + 1}"
    process = start(TOOLS / "train.py", "-c", config, *options, "--resume", cwd=tmp_path)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    epoch, step = map(int, re.search(r"resuming .*: after epoch (\d+), step (\d+)", out).groups())
    assert 6 * epoch + step == steps  # a signal in the last step is (0, 6) when it is saved, or (1, 0)
    assert ck.load_checkpoint(run / "latest")[ck.STATES]["epoch"] == states["epoch"] + 1


def test_two_processes_write_once_and_evaluate_each_sample_once(config, tmp_path):
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]
    options = ["-o", "Global.epochs=2", "Global.use_visualdl=true", "EMA.decay=0.9"]
    process = start(*launch, "--log_dir", tmp_path / "log", TOOLS / "train.py", "-c", config, *options, cwd=tmp_path)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    assert "2 process(es)" in out
    assert "step 3/3" in out  # 21 images, shared, in batches of 4
    evaluations = re.findall(r"evaluation after epoch (\d) \(averaged weights\): (loss .* samples 9)\n", out)
    assert [epoch for epoch, _ in evaluations] == ["1", "2"]
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["tiny"]
    run = tmp_path / "output" / "tiny"
    assert len(list((run / "vdl").iterdir())) == 1
    best = ck.load_checkpoint(run / "best")[ck.STATES]["best"]
    process = start(TOOLS / "eval.py", "-c", run / "config.yaml", cwd=tmp_path)
    alone, _ = process.communicate()
    assert evaluations[best["epoch"] - 1][1] in alone, alone  # one process finds what two have found together


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("split", ["Train", "Eval"])
def test_a_killed_worker_ends_training_with_one_message_and_keeps_the_checkpoint(config, tmp_path, split):
    options = ["-o", "Global.epochs=500", "Global.log_interval=1", "Optimizer.schedule.name=Constant"]
    options += [f"DataLoader.{split}.num_workers=2"]
    run = tmp_path / "output" / "tiny"
    process = start(TOOLS / "train.py", "-c", config, *options, cwd=tmp_path)
    wait_for(process, run / "train.log", "epoch 3/500 step 1/6")
    while process.poll() is None:
        for worker in children(process.pid)[:1]:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 1, out
    (message,) = [line for line in out.splitlines() if line.startswith("error: ")]
    assert re.search(r"worker \(process \d+\) was killed by SIGKILL.*num_workers.*--shm-size", message)
    assert "Traceback" not in out
    assert ck.load_checkpoint(run / "latest")[ck.STATES]["epoch"] >= 2


def test_an_evaluation_ends_with_one_message_when_its_worker_is_killed(config, tmp_path):
    process = start(TOOLS / "train.py", "-c", config, "-o", "Global.epochs=1", cwd=tmp_path)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    patch = "import os, signal; from ppeffconv.data import loader; "
    patch += "loader.Loader.make = lambda *_: os.kill(os.getpid(), signal.SIGKILL); import runpy, sys; "
    patch += f"sys.argv = sys.argv[1:]; runpy.run_path({str(TOOLS / 'eval.py')!r}, run_name='__main__')"
    run = tmp_path / "output" / "tiny" / "config.yaml"
    environment = {**os.environ, "PYTHONPATH": str(TOOLS.parent)}
    options = ["-c", run, "-o", "DataLoader.Eval.num_workers=2"]
    process = start("-c", patch, "eval.py", *options, cwd=tmp_path, env=environment)
    out, _ = process.communicate()
    assert process.returncode == 1, out
    assert "error: a data-loading worker (process" in out
    assert "Traceback" not in out
