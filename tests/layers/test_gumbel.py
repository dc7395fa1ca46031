"""GumbelSampler: distribution, temperature, grid prior, evaluation modes, seeds and errors."""

from __future__ import annotations

import copy
import math

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.layers.gumbel import GumbelSampler, set_eval_mode, set_temperature, temperature_at


def probabilities(shape=(2, 1, 13, 24), seed=0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).uniform(0.02, 0.98, shape).astype("float32"))


def uniforms(shape=(2, 1, 13, 24)) -> list[paddle.Tensor]:
    rng = np.random.default_rng(7)
    return [paddle.to_tensor(rng.random(shape).astype("float32")) for _ in range(2)]


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_softmax_of_two_classes(training):
    """The formula of the authors' code, written as the softmax that it stands for."""
    p, (u1, u0) = probabilities(), uniforms()
    sampler = GumbelSampler(temperature=0.7, grid_stride=0)
    sampler.train() if training else sampler.eval()
    temperature = 0.7 if training else 0.03

    def logit(p: np.ndarray, u: np.ndarray) -> np.ndarray:
        return (np.log(p + 1e-8) - np.log(-np.log(u + 1e-8) + 1e-8)) / (temperature + 1e-8)

    keep = logit(p.numpy().astype("float64"), u1.numpy().astype("float64"))
    drop = logit(1 - p.numpy().astype("float64"), u0.numpy().astype("float64"))
    expected = 1 / (1 + np.exp(drop - keep))
    if not training:
        expected = expected * (expected >= 0.5)
    np.testing.assert_allclose(sampler(p, (u1, u0)).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.03])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9526])
def test_a_position_is_kept_with_its_probability(temperature, p):
    paddle.seed(11)
    mask = GumbelSampler(temperature, grid_stride=0)(paddle.full([1, 1, 200, 200], p))
    kept = float((mask >= 0.5).astype("float32").mean())
    assert abs(kept - p) < 4 * math.sqrt(p * (1 - p) / 40000)


def test_noise_follows_the_global_seed():
    sampler, p = GumbelSampler(), probabilities()
    draws = []
    for seed in (3, 3, 4):
        paddle.seed(seed)
        draws.append(sampler(p).numpy())
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0.1


def test_deterministic_sampling_draws_nothing():
    sampler, p = GumbelSampler(temperature=0.5, sampling="deterministic", grid_stride=0), probabilities()
    logit = np.log(p.numpy() / (1 - p.numpy()))
    np.testing.assert_allclose(sampler(p).numpy(), 1 / (1 + np.exp(-logit / 0.5)), atol=1e-5)
    paddle.seed(5)
    sampler(p)
    after = paddle.rand([4]).numpy()
    paddle.seed(5)
    np.testing.assert_array_equal(after, paddle.rand([4]).numpy())


def test_evaluation_modes():
    p, noise = probabilities(), uniforms()
    masks = {}
    for mode in ("reference", "hard", "deterministic"):
        sampler = GumbelSampler(eval_mode=mode)
        sampler.eval()
        masks[mode] = sampler(p, noise).numpy()
    reference, hard, deterministic = masks.values()
    assert set(np.unique(hard)) == set(np.unique(deterministic)) == {0.0, 1.0}
    assert ((reference == 0) | (reference >= 0.5)).all()
    np.testing.assert_array_equal(reference >= 0.5, hard == 1)
    expected = (p.numpy() >= 0.5).astype("float32")
    expected[:, :, ::11, ::11] = 1
    np.testing.assert_array_equal(deterministic, expected)


@pytest.mark.parametrize("stride", [1, 4, 11])
@pytest.mark.parametrize("training", [True, False])
def test_grid_is_always_kept_and_takes_no_gradient(stride, training):
    p = paddle.full([1, 1, 13, 24], 0.05)
    p.stop_gradient = False
    sampler = GumbelSampler(grid_stride=stride)
    sampler.train() if training else sampler.eval()
    noise = [paddle.full([1, 1, 13, 24], 0.5)] * 2
    mask = sampler(p, noise)
    mask.sum().backward()
    grid = np.zeros((13, 24), bool)
    grid[::stride, ::stride] = True
    assert (mask.numpy()[0, 0][grid] == 1).all()
    assert (mask.numpy()[0, 0][~grid] < 0.5).all()
    gradient = p.grad.numpy()[0, 0]
    assert not gradient[grid].any()
    if training and stride > 1:
        assert (gradient[~grid] > 0).all()


def test_extreme_probabilities_and_draws_stay_finite():
    p = paddle.to_tensor(np.array([0.0, 1e-9, 1.0], "float32").reshape(1, 1, 1, 3), stop_gradient=False)
    for u in (0.0, 1.0):
        mask = GumbelSampler(0.03, grid_stride=0)(p, [paddle.full([1, 1, 1, 3], u)] * 2)
        mask.sum().backward()
        assert np.isfinite(mask.numpy()).all()
        assert np.isfinite(p.grad.numpy()).all()
    half = GumbelSampler(0.03, grid_stride=0)(p.astype("float16"), [paddle.full([1, 1, 1, 3], 0.5)] * 2)
    assert half.dtype == paddle.float32
    np.testing.assert_allclose(half.numpy().ravel(), [0, 0, 1], atol=1e-3)


def test_forward_never_changes_the_temperature():
    sampler = GumbelSampler(temperature=0.8)
    for _ in range(3):
        sampler(probabilities())
    assert sampler.cur_T.numpy().tolist() == pytest.approx([0.8])
    assert list(sampler.state_dict()) == ["cur_T"]


def test_temperature_schedule():
    assert temperature_at(0, 1000) == 1.0
    assert temperature_at(1000, 1000) == pytest.approx(0.03)
    assert temperature_at(500, 1000, start=2.0, end=0.5) == pytest.approx(1.0)
    authors_total = math.log(0.03) / math.log(0.99998)
    assert temperature_at(175_900, authors_total) == pytest.approx(0.99998**175_900)
    assert round(temperature_at(175_900, authors_total), 4) == 0.0297


def test_set_temperature_and_eval_mode_reach_every_sampler():
    net = nn.Sequential(GumbelSampler(), nn.Sequential(GumbelSampler(), nn.ReLU()))
    assert set_temperature(net, 0.25) == set_eval_mode(net, "hard") == 2
    assert [float(layer.cur_T) for layer in (net[0], net[1][0])] == [0.25, 0.25]
    assert net[1][0].eval_mode == "hard"
    assert set_temperature(copy.deepcopy(net[0]), 0.5) == 1
    assert float(net[0].cur_T) == 0.25
    assert set_temperature(nn.Conv2D(1, 1, 1), 0.25) == set_eval_mode(nn.ReLU(), "hard") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
        ({"eval_temperature": -1.0}, "eval_temperature must be positive"),
        ({"sampling": "softmax"}, "sampling must be one of gumbel, deterministic"),
        ({"eval_mode": "soft"}, "eval_mode must be one of reference, hard, deterministic, got 'soft'"),
        ({"grid_stride": -1}, r"grid_stride must be an integer >= 0 \(0: no grid\), got -1"),
        ({"grid_stride": 1.5}, "grid_stride must be an integer"),
    ],
)
def test_wrong_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        GumbelSampler(**arguments)


@pytest.mark.parametrize("noise", [uniforms()[:1], uniforms((2, 1, 13, 23))])
def test_noise_of_another_shape_is_an_error(noise):
    with pytest.raises(ValueError, match=r"noise must be two tensors \(u1, u0\) of shape \[2, 1, 13, 24\]"):
        GumbelSampler()(probabilities(), noise)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: temperature_at(-1, 10), "step >= 0"),
        (lambda: temperature_at(1, 0), "total_steps > 0"),
        (lambda: temperature_at(1, 10, end=0.0), "end must be positive"),
        (lambda: set_temperature(GumbelSampler(), float("nan")), "temperature must be positive, got nan"),
        (lambda: set_eval_mode(GumbelSampler(), "exact"), "eval_mode must be one of"),
    ],
)
def test_wrong_schedules_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
