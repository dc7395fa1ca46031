"""The average against NumPy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine.callbacks import EMA


class Model:
    def __init__(self, net: nn.Layer) -> None:
        self.network = net


def net_with_buffers() -> nn.Layer:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1D(3))
    net.register_buffer("count", paddle.to_tensor([0], dtype="int64"))
    return net


def randomise(net: nn.Layer, rng: np.random.Generator) -> dict[str, np.ndarray]:
    for value in net.state_dict().values():
        new = rng.standard_normal(value.shape) if value.is_floating_point() else rng.integers(0, 100, value.shape)
        value.set_value(paddle.to_tensor(new).astype(value.dtype))
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def test_equals_numpy():
    rng = np.random.default_rng(0)
    net = net_with_buffers()
    expected = {name: value.astype("float64") for name, value in randomise(net, rng).items()}
    ema = EMA(0.6)
    ema.set_model(Model(net))
    ema.on_train_begin()
    for t in range(1, 20):
        values = randomise(net, rng)
        ema.on_train_batch_end(0)
        d = min(0.6, (1 + t) / (10 + t))
        for name, value in values.items():
            whole = np.issubdtype(value.dtype, np.integer)
            expected[name] = value if whole else d * expected[name] + (1 - d) * value
    assert ema.updates == 19
    assert ema.weights.keys() == expected.keys() == net.state_dict().keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ema.weights[name].numpy(), value, rtol=1e-5, atol=1e-6)


def test_applied_and_given_back():
    net = net_with_buffers()
    ema = EMA(0.9)
    ema.set_model(Model(net))
    ema.on_train_begin()
    average = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    own = randomise(net, np.random.default_rng(1))
    with ema.applied(net):
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), average[name])
    with pytest.raises(RuntimeError, match="inside"), ema.applied(net):
        raise RuntimeError("inside")
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), own[name])


def test_half_precision_is_averaged_in_float32():
    net = nn.Linear(2, 2)
    net.to(dtype="bfloat16")
    ema = EMA(0.9)
    ema.set_model(Model(net))
    ema.on_train_begin()
    ema.on_train_batch_end(0)
    assert {value.dtype for value in ema.weights.values()} == {paddle.float32}
    with ema.applied(net):
        assert net.weight.dtype == paddle.bfloat16


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0])
def test_decay_out_of_range(decay):
    with pytest.raises(ValueError, match="EMA decay must be > 0 and < 1"):
        EMA(decay)
