"""Sessions: what is saved, resumed and refused."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks.speed import session
from benchmarks.speed.op_rows import op_rows
from benchmarks.speed.rows import Contestant, Row, choose
from benchmarks.speed.session import Settings
from benchmarks.speed.train_rows import train_rows


def row(name: str = "nap", job: str = "sleep", **options) -> Row:
    mine = {"job": job, **({"ms": 1} if job == "sleep" else {"megabytes": 32})}
    return Row(name, f"a {name}", {"ours": Contestant("ours", mine), "torch": Contestant("torch", mine)}, **options)


@pytest.fixture
def settings(tmp_path, fake_engines):
    return lambda **options: Settings(
        tmp_path / "nap.json", **({"rounds": 1, "threads": 1, "engines": ("ours",), "pause": 0} | options)
    )


def test_rows_are_saved_and_resumed(settings):
    session.run("train", [row("nap")], settings())
    path = settings().output
    saved = json.loads(path.read_text())
    assert saved["rows"]["nap"]["contestants"].keys() == {"ours"}
    saved["rows"]["nap"]["contestants"]["ours"]["ms"] = [42.0]
    saved["rows"]["nap"]["other_cores"] = 0
    path.write_text(json.dumps(saved))
    resumed = session.run("train", [row("nap"), row("sleep")], settings(resume=True))
    assert resumed["rows"].keys() == {"nap", "sleep"}
    assert resumed["rows"]["nap"]["contestants"]["ours"]["ms"] == [42.0]
    saved["rows"]["nap"]["other_cores"] = 1.5
    path.write_text(json.dumps(saved))
    again = session.run("train", [row("nap")], settings(resume=True))
    assert again["rows"]["nap"]["contestants"]["ours"]["ms"] != [42.0]
    assert session.run("train", [row("sleep")], settings())["rows"].keys() == {"sleep"}


def test_resume_refuses_other_threads(settings):
    session.run("train", [], settings())
    session.save(session.run("train", [], settings()), settings().output)
    with pytest.raises(ValueError, match="measured with threads 1, not 2"):
        session.run("train", [], settings(resume=True, threads=2))


def test_memory_of_a_step(settings):
    warm_up = {"job": "array", "megabytes": 1}
    entry = session.run("ops", [row(job="array", warm_up=warm_up)], settings())["rows"]["nap"]
    assert 30 < entry["growth_mb"] < 40


@pytest.mark.parametrize("options", [{"rounds": 0}, {"threads": 0}])
def test_needs_rounds_and_threads(settings, options):
    with pytest.raises(ValueError, match="at least one round and one thread"):
        session.run("train", [], settings(**options))


def test_contestants_must_agree():
    with pytest.raises(RuntimeError, match="do not run the same network: parameters are {'ours': 3, 'torch': 4}"):
        session.check(row(agree=("parameters",)), {"ours": {"parameters": 3}, "torch": {"parameters": 4}})
    with pytest.raises(RuntimeError, match="the loss of torch is not finite"):
        session.check(row(), {"ours": {"losses": [1.0]}, "torch": {"losses": [1.0, math.nan]}})


def test_load_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"measure first, python tools/benchmark.py ops"):
        session.load(tmp_path / "ops.json")
    for text, message in (("{", "is not JSON"), ("[]", "has no 'rows'")):
        (tmp_path / "ops.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            session.load(tmp_path / "ops.json")


def test_choose_rows():
    assert [each.name for each in choose(train_rows(), ["oct_*"])] == ["oct_resnet20", "oct_resnet50"]
    assert choose(train_rows(), []) == train_rows()
    with pytest.raises(ValueError, match=r"no row matches 'ddf_resnet21'. Did you mean 'ddf_resnet20'\?"):
        choose(train_rows(), ["resnet20", "ddf_resnet21"])


def test_names_are_unique():
    for rows in (train_rows(), op_rows()):
        assert len({each.name for each in rows}) == len(rows)
