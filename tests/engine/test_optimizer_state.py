"""Optimizer state survives a change of all automatic names."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.optimizer_state import optimizer_state, set_optimizer_state

KINDS = {
    "SGD": set(),
    "Momentum": {"velocity"},
    "Adam": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
    "AdamW": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
}


def make(name: str, **arguments):
    net = nn.Sequential(*[nn.Linear(3, 3) for _ in range(12)])  # linear_1 is the start of linear_10
    schedule = paddle.optimizer.lr.LambdaDecay(0.1, lambda step: 1 / (1 + step))
    return net, getattr(paddle.optimizer, name)(schedule, parameters=net.parameters(), **arguments)


def train(net, optimizer, seeds) -> None:
    for seed in seeds:
        x = paddle.to_tensor(np.random.default_rng(seed).standard_normal((4, 3)).astype("float32"))
        (net(x) ** 2).mean().backward()
        optimizer.step()
        optimizer.clear_grad()
        optimizer._learning_rate.step()


@pytest.mark.parametrize("name", list(KINDS))
def test_round_trip_through_a_file(tmp_path, name):
    net, optimizer = make(name)
    train(net, optimizer, range(3))
    state = optimizer_state(optimizer, net)
    assert set(state) - {"master_weights", "LR_Scheduler"} == KINDS[name]
    for kind in KINDS[name]:
        assert list(state[kind]) == [key for key, _ in net.named_parameters()]
    ck.save_checkpoint(tmp_path / "c", {ck.PARAMS: net.state_dict(), ck.OPTIMIZER: state, ck.STATES: {}})
    loaded = ck.load_checkpoint(tmp_path / "c")
    other, fresh = make(name)
    assert other[0].weight.name != net[0].weight.name
    other.set_state_dict(loaded[ck.PARAMS])
    set_optimizer_state(fresh, other, loaded[ck.OPTIMIZER])
    assert fresh.get_lr() == optimizer.get_lr()
    for pair in ((net, optimizer), (other, fresh)):
        train(*pair, range(3, 6))
    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())


def test_master_weights_of_half_precision():
    """Paddle has no CPU kernels to train in half precision, so the state is put in and read back."""

    def half():
        net, optimizer = make("Momentum", multi_precision=True)
        net.to(dtype="bfloat16")
        return net, optimizer

    net, optimizer = half()
    state = optimizer_state(optimizer, net)
    assert list(state["master_weights"]) == [key for key, _ in net.named_parameters()]
    rng = np.random.default_rng(0)
    for kind in set(state) - {"LR_Scheduler"}:
        state[kind] = {key: rng.random(value.shape, "float32") for key, value in state[kind].items()}
    other, fresh = half()
    set_optimizer_state(fresh, other, state)
    again = optimizer_state(fresh, other)
    assert again.keys() == state.keys()
    for kind in set(state) - {"LR_Scheduler"}:
        for key, value in state[kind].items():
            np.testing.assert_array_equal(again[kind][key].numpy(), value)


def test_state_of_another_optimizer_or_network():
    net, momentum = make("Momentum")
    state = optimizer_state(momentum, net)
    _, adam = make("Adam")
    with pytest.raises(ValueError, match=r"no 'moment1' for 0\.weight: it is not the state of Adam"):
        set_optimizer_state(*reversed(make("Adam")), state)
    del state["velocity"]["3.bias"]
    with pytest.raises(ValueError, match=r"no 'velocity' for 3\.bias"):
        set_optimizer_state(momentum, net, state)
    assert adam.get_lr() == pytest.approx(0.1)
