"""Tables from records: means and deviations, and rows that are not there."""

from __future__ import annotations

import re

import pytest

from benchmarks.accuracy.rows import ROWS
from benchmarks.accuracy.tables import LANGUAGES, measured_on, of_method, runs_table, summary, weights_table


def cells(table: str, title: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_mean_and_deviation_over_seeds(make_record, speed):
    scores = {"dense_seed0": 0.90, "dense_seed1": 0.91, "dense_seed2": 0.92}
    records = {"dense": [make_record(name, top1=top1) for name, top1 in scores.items()]}
    found = cells(summary(records, speed), "ResNet-20")
    assert found == ["272.2", "31.02", "–", "91.00 ± 1.00 (3 seeds)", "1 (1.00x)", "0.5 (1.00x)", "10"]


def test_one_seed_a_density_and_no_times(make_record, speed):
    records = {"sampled_05": [make_record("sampled_05_seed0", density=0.456, top1=0.8765)]}
    found = cells(summary(records, speed), "sampling, sparse loss 0.05")
    assert found == ["272.2", "31.02", "0.46", "87.65", "–", "–", "10"]


def test_a_run_of_another_length_says_so(make_record, speed):
    records = {"dense": [make_record(epochs=8)], "oct_25": [make_record("oct_25_seed0", epochs=3, top1=0.5)]}
    table = summary(records, speed)
    assert "50.00 (3 epochs)" in table
    assert table.count("epochs") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_is_there_trained_or_not(language, make_record, speed):
    words = LANGUAGES[language]
    lines = summary({"dense": [make_record()]}, speed, language=language).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert {line.count("|") for line in lines} == {len(words.header) + 1}
    assert sum(f"| {words.missing} | –" in line for line in lines) == len(ROWS) - 1
    assert measured_on(speed, language).count("some processor") == 1
    assert "30" in measured_on(speed, language)
    assert words.minutes in measured_on(speed, language)
    assert measured_on({"rows": {}}, language) == ""


def test_chinese_rows_have_chinese_names(speed):
    """But for the names of networks and methods."""
    titles = [line.split(" | ")[0] for line in summary({}, speed, language="zh").splitlines()[2:]]
    assert len(set(titles)) == len(ROWS)
    words = set(re.findall("[a-z]{3,}", " ".join(titles).lower()))
    assert words == {"resnet", "octconv", "spconv", "ddf", "mul", "add", "relu", "ghostnet", "hetconv"}
    assert "| 随机采样，稀疏损失 0.05" in titles


def test_a_card_shows_the_dense_network_and_its_own_rows():
    assert of_method("octconv") == ["dense", "oct_25", "oct_50"]
    assert of_method("baselines") == ["dense", "ghost", "het"]


def test_runs_and_weights(make_record):
    records = {"oct_50": [make_record(f"oct_50_seed{seed}", model="oct_resnet20") for seed in (0, 1)]}
    lines = runs_table(records).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| oct_50_seed0", "| oct_50_seed1"]
    assert "| 85.0, 90.0 |" in lines[0]
    assert "`python tools/train.py -c a.yaml -o Global.epochs=2`" in lines[0]
    found = re.findall(r"`(.*)`", weights_table(records))
    assert found == ['ppeffconv.create_model("oct_resnet20", pretrained="fashion-mnist-oct-50")']
    assert weights_table(records, ["dense"]) == ""
