"""The queue of runs, with small Python programs in their place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from ppeffconv.engine.queue import read_queue, run_queue

ROOT = Path(__file__).parents[2]
APPEND = "python -c \"open('{file}', 'a').write('{text}')\""


def queue(folder: Path, **runs: str) -> Path:
    path = folder / "queue.yaml"
    path.write_text(yaml.safe_dump({"output": str(folder / "out"), "runs": runs}, sort_keys=False), encoding="utf-8")
    return path


def test_runs_in_order_and_only_once(tmp_path):
    file = tmp_path / "trace"
    path = queue(tmp_path, b=APPEND.format(file=file, text="b"), a=APPEND.format(file=file, text="a"))
    assert [run.state for run in read_queue(path)] == ["waits", "waits"]
    assert run_queue(read_queue(path)) == []
    assert run_queue(read_queue(path)) == []
    assert file.read_text() == "ba"
    assert all(run.done and run.state.startswith("done in ") for run in read_queue(path))
    queue(tmp_path, b=APPEND.format(file=file, text="c"), a=APPEND.format(file=file, text="a"))
    run_queue(read_queue(path))
    assert file.read_text() == "bac"  # another command is another run


def test_a_failure_is_told_and_tried_again(tmp_path, caplog):
    ready = tmp_path / "ready"
    fails = f"python -c \"import os, sys; sys.exit(0 if os.path.exists('{ready}') else 'no disk')\""
    path = queue(tmp_path, first=fails, second=APPEND.format(file=tmp_path / "trace", text="x"))
    assert [run.name for run in run_queue(read_queue(path))] == ["first"]
    assert "first failed: no disk" in caplog.text
    assert [run.state.split()[0] for run in read_queue(path)] == ["failed", "done"]
    ready.touch()
    assert run_queue(read_queue(path)) == []
    first = read_queue(path)[0]
    assert [attempt["code"] for attempt in first.attempts] == [1, 0]
    assert first.seconds == pytest.approx(sum(attempt["seconds"] for attempt in first.attempts))


def test_only_some(tmp_path):
    file = tmp_path / "trace"
    path = queue(tmp_path, **{name: APPEND.format(file=file, text=name) for name in ("oct_0", "oct_1", "sp_0")})
    run_queue(read_queue(path), ["oct*"])
    assert file.read_text() == "oct_0oct_1"
    with pytest.raises(ValueError, match="no run is called ddf; there are oct_0, oct_1, sp_0"):
        run_queue(read_queue(path), ["ddf"])


def test_a_signal_reaches_the_run_which_goes_on_later(tmp_path):
    """The run saves on the signal, as training does, and ends by it; nothing after it is started."""
    script = tmp_path / "run.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "state = pathlib.Path(__file__).with_name('state')\n"
        "def stop(number, frame):\n"
        "    state.write_text(state.read_text() + 'saved ')\n"
        "    sys.exit(128 + number)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "if state.exists(): sys.exit(0)\n"
        "state.write_text('begun ')\n"
        "time.sleep(60)\n"
    )
    path = queue(tmp_path, slow=f"python {script}", after=APPEND.format(file=tmp_path / "trace", text="x"))
    command = [sys.executable, str(ROOT / "tools" / "run_queue.py"), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (tmp_path / "state").exists() or not (tmp_path / "state").read_text():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate()
    assert process.returncode == 143, out
    assert "Traceback" not in out
    assert (tmp_path / "state").read_text() == "begun saved "
    assert not (tmp_path / "trace").exists()
    assert [run.state.split()[0] for run in read_queue(path)] == ["stopped", "waits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "all done" in done.stdout
    assert [run.done for run in read_queue(path)] == [True, True]


def test_one_at_a_time(tmp_path):
    path = queue(tmp_path, a="python -c pass")
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / "queue.lock"),
        pytest.raises(RuntimeError, match="another process is at the queue"),
    ):
        run_queue(read_queue(path))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_side_by_side_on_cores_of_their_own(tmp_path):
    """Each of two runs waits for the other, which would never come if they ran in turn."""
    script = tmp_path / "run.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        "mine, other = (pathlib.Path(__file__).with_name(name) for name in sys.argv[1:])\n"
        "mine.write_text(' '.join(map(str, sorted(os.sched_getaffinity(0)))))\n"
        "while not other.exists(): time.sleep(0.01)\n"
    )
    path = queue(tmp_path, a=f"python {script} a b", b=f"python {script} b a")
    assert run_queue(read_queue(path), jobs=2) == []
    cores = [set((tmp_path / name).read_text().split()) for name in "ab"]
    assert not cores[0] & cores[1]
    assert {int(core) for core in cores[0] | cores[1]} == os.sched_getaffinity(0)


@pytest.mark.parametrize("jobs", [0, 4097])
def test_as_many_jobs_as_cores(tmp_path, jobs):
    with pytest.raises(ValueError, match=f"jobs must be 1 to .* got {jobs}"):
        run_queue(read_queue(queue(tmp_path, a="python -c pass")), jobs=jobs)


@pytest.mark.parametrize(
    "content", ["[]", "output: x", "{output: x, runs: []}", "{output: x, runs: {a: 3}}", "{output: x, runs: {a/b: c}}"]
)
def test_what_is_no_queue(tmp_path, content):
    path = tmp_path / "queue.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"queue\.yaml"):
        read_queue(path)


def test_the_record_is_readable(tmp_path):
    path = queue(tmp_path, a="python -c \"print('hello')\"")
    run_queue(read_queue(path))
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["command"] == "python -c \"print('hello')\""
    assert set(record["attempts"][0]) == {"began", "seconds", "code"}
    assert (tmp_path / "out" / "a.log").read_text() == "hello\n"


def test_what_cannot_be_started_does_not_end_the_queue(tmp_path, caplog):
    path = queue(tmp_path, typo="pyhton x.py", quote='python -c "1', good="python -c 1")
    assert [run.name for run in run_queue(read_queue(path))] == ["typo", "quote"]
    assert "typo cannot be started" in caplog.text
    assert "quote cannot be started: No closing quotation; its command is" in caplog.text
    path.write_text("output: [")
    with pytest.raises(ValueError, match=r"queue\.yaml, line 1.*not valid YAML"):
        read_queue(path)


def test_a_name_that_stands_there_twice(tmp_path):
    path = tmp_path / "queue.yaml"
    path.write_text("output: x\nruns:\n  a: python -c 1\n  b: python -c 2\n  a: python -c 3\n")
    with pytest.raises(ValueError, match=r"queue\.yaml, line 5, column 3: not valid YAML: duplicate key 'a'"):
        read_queue(path)
