"""Schedules against their closed forms, updates against NumPy."""

from __future__ import annotations

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine.optim import build_optimizer, learning_rate

STEPS, EPOCHS = 5, 8


def block(**changes) -> dict:
    schedule = {"name": "Cosine", "warmup_epochs": 0, "min_lr": 0.0, "milestones": [], "gamma": 0.1}
    schedule |= changes.pop("schedule", {})
    return {
        "name": "Momentum",
        "lr": 0.4,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.1,
        "decay_norm_and_bias": True,
        "grad_clip": None,
        "schedule": schedule,
    } | changes


def rates(**schedule) -> list[float]:
    return [learning_rate(block(schedule=schedule), step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]


def test_cosine():
    expected = [0.01 + 0.39 * 0.5 * (1 + math.cos(math.pi * t / 40)) for t in range(40)]
    np.testing.assert_allclose(rates(name="Cosine", min_lr=0.01), expected, rtol=1e-12)


def test_cosine_after_warmup():
    got = rates(name="Cosine", warmup_epochs=2)
    np.testing.assert_allclose(got[:10], [0.4 * t / 10 for t in range(1, 11)], rtol=1e-12)
    np.testing.assert_allclose(got[10:], [0.2 * (1 + math.cos(math.pi * t / 30)) for t in range(30)], rtol=1e-12)
    assert learning_rate(block(schedule={"name": "Cosine", "min_lr": 0.1}), 40, STEPS, EPOCHS) == pytest.approx(0.1)


def test_step():
    expected = [0.4] * 15 + [0.1] * 15 + [0.025] * 10
    np.testing.assert_allclose(rates(name="Step", milestones=[3, 6], gamma=0.25), expected, rtol=1e-12)


def test_constant():
    assert rates(name="Constant") == [0.4] * 40


def test_scheduler_of_the_optimizer_follows_the_formula():
    cfg = block(schedule={"name": "Cosine", "warmup_epochs": 1})
    optimizer = build_optimizer(cfg, nn.Linear(2, 2), STEPS, EPOCHS)
    for step in range(12):
        assert optimizer.get_lr() == pytest.approx(learning_rate(cfg, step, STEPS, EPOCHS), rel=1e-12)
        optimizer._learning_rate.step()


def numpy_steps(cfg: dict, value: np.ndarray, gradients: list[np.ndarray], decay: float) -> np.ndarray:
    """The update rules as their papers write them, in float64."""
    value, first, second = value.astype("float64"), 0.0, 0.0
    for t, gradient in enumerate(gradients):
        lr = learning_rate(cfg, t, STEPS, EPOCHS)
        if cfg["name"] == "AdamW":
            value = value * (1 - lr * decay)
        else:
            gradient = gradient + decay * value
        if cfg["name"].startswith("Adam"):
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            value = value - lr * (first / (1 - 0.9 ** (t + 1))) / (np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8)
        elif cfg["name"] == "Momentum":
            first = cfg["momentum"] * first + gradient
            value = value - lr * (gradient + cfg["momentum"] * first if cfg["nesterov"] else first)
        else:
            value = value - lr * gradient
    return value


@pytest.mark.parametrize("decay_all", [True, False])
@pytest.mark.parametrize("name", ["SGD", "Momentum", "Nesterov", "Adam", "AdamW"])
def test_updates_equal_numpy(name, decay_all):
    cfg = block(name="Momentum" if name == "Nesterov" else name, nesterov=name == "Nesterov", lr=0.05)
    cfg["decay_norm_and_bias"] = decay_all
    net = nn.Linear(3, 2)
    net.bias.set_value(paddle.to_tensor([0.5, -0.8]))  # a bias of 0 would hide its decay
    optimizer = build_optimizer(cfg, net, STEPS, EPOCHS)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((4, 3)).astype("float32") for _ in range(4)]
    start = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    for images in inputs:
        loss = (net(paddle.to_tensor(images)) * paddle.to_tensor([1.0, -2.0])).sum()  # its gradient is constant
        loss.backward()
        optimizer.minimize(loss)  # as paddle.Model does
        net.clear_gradients()
        optimizer._learning_rate.step()
    slope = np.array([1.0, -2.0])
    weight = numpy_steps(cfg, start["weight"], [x.sum(0)[:, None] * slope for x in inputs], 0.1)
    bias = numpy_steps(cfg, start["bias"], [4 * slope for _ in inputs], 0.1 if decay_all else 0.0)
    np.testing.assert_allclose(net.weight.numpy(), weight, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.bias.numpy(), bias, rtol=1e-4, atol=1e-5)


def test_gradients_are_clipped_by_their_global_norm():
    net = nn.Linear(3, 2)
    before = {key: value.numpy().copy() for key, value in net.state_dict().items()}
    cfg = block(name="SGD", lr=1.0, weight_decay=0.0, grad_clip=0.5, schedule={"name": "Constant"})
    optimizer = build_optimizer(cfg, net, STEPS, EPOCHS)
    loss = 100 * net(paddle.ones([4, 3])).sum()
    loss.backward()
    optimizer.minimize(loss)
    moved = [before[key] - value.numpy() for key, value in net.state_dict().items()]
    assert math.sqrt(sum(float((m**2).sum()) for m in moved)) == pytest.approx(0.5, rel=1e-5)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match=r"nesterov is for Momentum, got Optimizer\.name=Adam"):
        build_optimizer(block(name="Adam", nesterov=True), nn.Linear(1, 1), STEPS, EPOCHS)


def test_a_short_run_warms_up_for_its_first_half():
    """So that Global.epochs=1 works with every recipe."""
    got = [learning_rate(block(schedule={"warmup_epochs": 5}), step, STEPS, epochs=2) for step in range(10)]
    np.testing.assert_allclose(got[:5], [0.4 * t / 5 for t in range(1, 6)], rtol=1e-12)
    np.testing.assert_allclose(got[5:], [0.2 * (1 + math.cos(math.pi * t / 5)) for t in range(5)], rtol=1e-12)
