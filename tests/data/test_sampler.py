"""The order of samples: complete, shared fairly, repeatable and resumable."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppeffconv.data import EpochBatchSampler

sizes = {"n": st.integers(1, 60), "batch_size": st.integers(1, 9), "world": st.integers(1, 5)}


def ranks(world, **arguments):
    return [EpochBatchSampler(rank=rank, world=world, seed=3, **arguments) for rank in range(world)]


def indices(samplers):
    return [index for sampler in samplers for batch in sampler for _, index in batch]


@given(**sizes)
def test_evaluation_sees_every_sample_exactly_once(n, batch_size, world):
    samplers = ranks(world, n=n, batch_size=batch_size, shuffle=False, drop_last=False, pad=False)
    assert sorted(indices(samplers)) == list(range(n))


@given(**sizes, drop_last=st.booleans())
def test_training_gives_every_process_equally_many_full_batches(n, batch_size, world, drop_last):
    if drop_last and -(-n // world) < batch_size:
        return
    samplers = ranks(world, n=n, batch_size=batch_size, shuffle=True, drop_last=drop_last)
    shapes = [[len(batch) for batch in sampler] for sampler in samplers]
    assert all(shape == shapes[0] for shape in shapes)
    assert len(shapes[0]) == len(samplers[0])
    if drop_last:
        assert set(shapes[0]) == {batch_size}
    else:
        counts = Counter(indices(samplers))
        assert set(counts) == set(range(n))
        assert sum(counts.values()) == -(-n // world) * world
        assert max(counts.values()) - min(counts.values()) <= 1


@given(**sizes, epoch=st.integers(0, 5), start=st.integers(0, 20))
def test_resuming_gives_the_remaining_batches(n, batch_size, world, epoch, start):
    sampler, resumed = (
        EpochBatchSampler(n, batch_size, shuffle=True, drop_last=False, seed=3, world=world) for _ in range(2)
    )
    sampler.set_epoch(epoch)
    resumed.set_epoch(epoch, start_step=start)
    assert list(resumed) == list(sampler)[start:]
    assert len(resumed) == len(sampler)


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochBatchSampler(50, 50, shuffle=True, drop_last=False, seed=seed)
        sampler.set_epoch(epoch)
        return [index for _, index in next(iter(sampler))]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(1, 2) != order(2, 1)


def test_keys_carry_the_epoch_in_which_the_iteration_began():
    sampler = EpochBatchSampler(4, 1, shuffle=False, drop_last=False, seed=0)
    sampler.set_epoch(7)
    iterator = iter(sampler)
    assert next(iterator) == [(7, 0)]
    sampler.set_epoch(8)
    assert next(iterator) == [(7, 1)]
    assert next(iter(sampler)) == [(8, 0)]


def test_more_processes_than_samples():
    samplers = ranks(5, n=2, batch_size=1, shuffle=False, drop_last=False)
    assert [[index for ((_, index),) in sampler] for sampler in samplers] == [[0], [1], [0], [1], [0]]
    evaluation = ranks(5, n=2, batch_size=1, shuffle=False, drop_last=False, pad=False)
    assert [len(sampler) for sampler in evaluation] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "arguments",
    [{"n": 0}, {"batch_size": 0}, {"rank": 2, "world": 2}, {"rank": -1}, {"n": 3, "batch_size": 4, "drop_last": True}],
)
def test_bad_arguments(arguments):
    with pytest.raises(ValueError, match="sample"):
        EpochBatchSampler(**{"n": 10, "batch_size": 4, "shuffle": True, "drop_last": False, "seed": 0} | arguments)
