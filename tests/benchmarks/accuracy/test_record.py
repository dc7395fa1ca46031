"""Records and the names of runs."""

from __future__ import annotations

import pytest

from benchmarks.accuracy.record import read_records
from benchmarks.accuracy.rows import ROWS, split_name, tag
from ppeffconv.weights.table import TAG


def test_are_read_by_row_in_the_order_of_the_table(tmp_path, make_record):
    records = [make_record(name) for name in ("sp_2_seed0", "dense_seed10", "dense_seed2")]
    for record in records:
        record.save(tmp_path)
    found = read_records(tmp_path)
    assert list(found) == ["dense", "sp_2"]
    assert found["dense"] == [records[2], records[1]]
    assert [record.seed for record in found["dense"]] == [2, 10]
    assert read_records(tmp_path / "nothing here") == {}


def test_a_file_that_is_none(tmp_path, make_record):
    make_record().save(tmp_path)
    (tmp_path / "dense_seed0.json").rename(tmp_path / "dense_seed1.json")
    with pytest.raises(ValueError, match=r"dense_seed1.json holds the record of dense_seed0"):
        read_records(tmp_path)
    for text in ("{", '{"name": "dense_seed1"}'):
        (tmp_path / "dense_seed1.json").write_text(text)
        with pytest.raises(ValueError, match=r"dense_seed1.json holds no record"):
            read_records(tmp_path)


def test_names():
    assert split_name("oct_50_seed12") == ("oct_50", 12)
    for name in ("oct_50", "oct_51_seed0", "oct_50_seed", "oct_50_seed-1"):
        with pytest.raises(ValueError, match="must be called ROW_seedN"):
            split_name(name)
    assert all(TAG.match(tag(row)) for row in ROWS)
    assert len({tag(row) for row in ROWS}) == len(ROWS)
