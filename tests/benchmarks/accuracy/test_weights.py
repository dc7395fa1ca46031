"""The weights of the results classify the real test images as their records say, to the last image."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest

from benchmarks.accuracy.documents import FOLDER, RECORDS
from benchmarks.accuracy.examine import hits
from benchmarks.accuracy.publishing import SEED, is_published, trained_network
from benchmarks.accuracy.record import FIRST, read_records
from ppeffconv.config import load_config
from ppeffconv.data import build_loader
from ppeffconv.data.fashion_mnist import FashionMNIST

ROOT = Path(__file__).parents[3]
RECORD = next(iter(read_records(ROOT / FOLDER / RECORDS).items()), None)


def real_images() -> bool:
    try:
        return len(FashionMNIST(train=False, download=False)) == 10_000
    except FileNotFoundError:
        return False


@pytest.mark.skipif(RECORD is None, reason="no row was trained yet")
@pytest.mark.skipif(not real_images(), reason="the real Fashion-MNIST is not here")
def test_the_first_rows_weights_reproduce_its_accuracy():
    record = RECORD[1][0]
    assert record.seed == SEED
    net = trained_network(record)
    batches = []
    for images, labels in build_loader(load_config(ROOT / "configs/baselines/resnet20_fashion_mnist.yaml"), "Eval"):
        batches.append((images, labels))
        if sum(len(x) for x, _ in batches) >= FIRST:
            break
    assert sum(len(x) for x, _ in batches) == FIRST
    assert int(hits(net, batches).sum()) == record.first
    for weight in net.parameters():  # and would not with other weights
        weight.set_value(paddle.zeros_like(weight))
    assert int(hits(net, batches).sum()) != record.first


def test_every_record_of_the_first_seed_has_its_weights():
    records = read_records(ROOT / FOLDER / RECORDS)
    missing = [row for row, runs in records.items() if runs[0].seed == SEED and not is_published(runs[0])]
    assert missing == []
