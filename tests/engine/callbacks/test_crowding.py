"""The warning of a training whose cores others use."""

from __future__ import annotations

import pytest

from ppeffconv.engine.callbacks import Crowding, crowding


@pytest.fixture
def train(monkeypatch, caplog):
    """Lets a training of so many threads lose a core so often a second; returns how often it was warned."""

    def warnings(threads: int, often: int, seconds: int = 30) -> int:
        clock = {"now": 100.0}
        monkeypatch.setattr(crowding, "threads", lambda: threads)
        monkeypatch.setattr(crowding.time, "monotonic", lambda: clock["now"])
        monkeypatch.setattr(crowding, "_switches", lambda: often * clock["now"])
        callback = Crowding()
        for epoch in range(2):
            callback.on_epoch_begin(epoch)
            for step in range(seconds):
                clock["now"] += 1
                callback.on_train_batch_end(step)
        return sum("PPEFFCONV_TUNE=0" in record.getMessage() for record in caplog.records)

    return warnings


@pytest.mark.parametrize(("threads", "often", "expected"), [(2, 500, 1), (2, 20, 0), (1, 500, 0)])
def test_warned_once_where_threads_lose_their_cores(train, threads, often, expected):
    assert train(threads, often) == expected


def test_the_first_seconds_tell_nothing(train):
    assert train(2, 500, seconds=4) == 0
