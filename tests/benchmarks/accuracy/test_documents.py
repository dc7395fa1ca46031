"""What is written from the records: the committed documents are what the command writes, and the cards' code runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from benchmarks.accuracy.documents import FIGURE, FOLDER, READMES, RECORDS, SPEED, write_documents
from benchmarks.accuracy.figures import draw
from benchmarks.accuracy.measure import write_speed
from benchmarks.accuracy.rows import ROWS, split_name
from ppeffconv.config import load_config

ROOT = Path(__file__).parents[3]
METHODS = sorted({row.method for row in ROWS.values()})


@pytest.fixture
def copy(tmp_path):
    """The documents and what they are written from."""
    files = [*READMES, f"{FOLDER}/README.md", f"{FOLDER}/{SPEED}", "custom_ops/benchmark/deploy.json"]
    files += [f"configs/{method}/README.md" for method in METHODS]
    for name in files:
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    if (ROOT / FOLDER / RECORDS).is_dir():
        shutil.copytree(ROOT / FOLDER / RECORDS, tmp_path / FOLDER / RECORDS)
    return tmp_path


def test_nothing_was_typed_by_hand(copy):
    for path in write_documents(copy):
        name = path.relative_to(copy)
        assert path.read_text(encoding="utf-8") == (ROOT / name).read_text(encoding="utf-8"), f"{name}: make results"


def test_new_records_reach_every_document(copy, make_record, speed):
    shutil.rmtree(copy / FOLDER / RECORDS, ignore_errors=True)
    make_record(top1=0.1234).save(copy / FOLDER / RECORDS)
    make_record("oct_50_seed0", top1=0.2345, model="oct_resnet20").save(copy / FOLDER / RECORDS)
    write_speed(speed, copy / FOLDER / SPEED)
    documents = write_documents(copy)
    texts = {path: path.read_text(encoding="utf-8") for path in documents}
    assert all("| 12.34 |" in text for text in texts.values())
    having = {path.parent.name for path, text in texts.items() if "| 23.45 |" in text}
    assert having == {"results", "octconv", copy.name}
    assert Image.open(copy / FOLDER / FIGURE).size[0] > 1000
    for text in (texts[copy / name] for name in READMES):
        assert f"({FOLDER}/{FIGURE})" in text


def test_points_of_the_figure(make_record, speed, tmp_path):
    """All rows in three panels; the bar of several seeds is their deviation."""
    records = {row: [make_record(f"{row}_seed{seed}", top1=0.9 + seed / 100) for seed in range(2)] for row in ROWS}
    every = {row: {batch: {"ms": 1.0, "of_dense": 1.0} for batch in ("1", "64")} for row in ROWS}
    draw(records, speed | {"rows": every}, tmp_path / "three.png")
    draw(records, {"rows": {}}, tmp_path / "one.png")
    widths = [Image.open(tmp_path / f"{name}.png").size[0] for name in ("three", "one")]
    assert widths[0] > 2 * widths[1]


@pytest.mark.parametrize("method", METHODS)
def test_the_cards_code_runs(method, capsys):
    text = (ROOT / "configs" / method / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert len(blocks) == 1
    exec(compile(blocks[0], method, "exec"), {})
    assert re.search(r"\[1, 10+\]", capsys.readouterr().out)
    assert "**Take it**" in text or method == "baselines"
    for command in re.findall(r"python tools/\w+\.py -c (configs/\S+)", text):
        assert (ROOT / command).is_file()


def test_the_queue_has_every_row_and_trains_it_as_it_is_called():
    runs = yaml.safe_load((ROOT / FOLDER / "runs.yaml").read_text())["runs"]
    assert {split_name(name)[0] for name in runs} == set(ROWS)
    for name, command in runs.items():
        assert f"Global.name={name} " in command
        assert f"Global.seed={split_name(name)[1]}" in command
        overrides = command.partition(" -o ")[2].split()
        config = load_config(ROOT / re.search(r"-c (\S+)", command)[1], overrides)
        assert config["Global"]["epochs"] == 8
        assert "_resnet20" in f"_{config['Arch']['name']}"
