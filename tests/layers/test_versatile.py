"""VersatileConv2D and LearnedVersatileConv2D against masked, zero-padded filters in a loop convolution."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.layers import LearnedVersatileConv2D, VersatileConv2D
from tests import oracles


def expanded(layer):
    """The ordinary filters [C, c, kh, kw] that the layer stands for: f * M_i, restricted to a channel window."""
    w = layer.weight.numpy()
    kh, kw = w.shape[2:]
    kept = layer.in_channels - layer.delta
    filters = []
    for i in range(layer.spatial_filters):
        inner = np.zeros((kh, kw))
        inner[i : kh - i, i : kw - i] = 1
        for start in range(0, layer.delta + 1, layer.g):
            full = np.zeros_like(w)
            if layer.delta == 0:
                full = w * inner
            elif layer.channel_mode == "paper":
                full[:, start : start + kept] = w[:, start : start + kept] * inner
            else:
                full[:, start : start + kept] = w[:, :kept] * inner
            filters.append(full)
    return np.concatenate(filters)[: layer.out_channels]


CASES = [
    dict(kernel_size=3, padding=1),
    dict(kernel_size=5, padding=2, stride=2),
    dict(kernel_size=7, padding=3, stride=2),
    dict(kernel_size=7),
    dict(kernel_size=5, padding=1),
    dict(kernel_size=4, padding=1),
    dict(kernel_size=1),
    dict(kernel_size=2),
    dict(kernel_size=3, padding=2, dilation=2),
    dict(kernel_size=5, padding=1, dilation=2, stride=3),
    dict(kernel_size=(3, 5), padding=(1, 0), stride=(1, 2)),
    dict(kernel_size=3, padding=1, groups=2),
    dict(kernel_size=3, padding=1, delta=1),
    dict(kernel_size=3, padding=1, delta=1, channel_mode="reference"),
    dict(kernel_size=1, delta=2, g=2),
    dict(kernel_size=3, padding=1, delta=2, g=1, channel_mode="reference"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_equals_masked_filters(case, bias):
    layer = oracles.to_float64(VersatileConv2D(4, 8, bias_attr=bias, **case))
    x = oracles.random(2, 4, 11, 13)
    shared = {key: case[key] for key in ("stride", "padding", "dilation", "groups") if key in case}
    # with groups the output order is mask-major, so each group of filters is convolved on its own
    filters, groups = expanded(layer), shared.pop("groups", 1)
    per_group = layer.weight.shape[0] // groups
    expected = np.zeros((2, 8, *layer(paddle.to_tensor(x)).shape[2:]))
    for o, kernel in enumerate(filters):
        group = o % layer.weight.shape[0] // per_group
        width = 4 // groups
        expected[:, o] = oracles.conv2d(x[:, group * width : (group + 1) * width], kernel[None], **shared)[:, 0]
    if bias:
        expected += layer.bias.numpy().reshape(1, -1, 1, 1)
    np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize(("out", "kernel_size"), [(64, 5), (7, 3), (1, 3), (5, 7)])
def test_out_channels_that_do_not_divide_are_kept(out, kernel_size):
    layer = oracles.to_float64(VersatileConv2D(3, out, kernel_size, padding=kernel_size // 2))
    x = oracles.random(1, 3, 6, 6)
    y = layer(paddle.to_tensor(x))
    assert y.shape[1] == out == layer.bias.size
    kernel = expanded(layer)
    expected = oracles.conv2d(x, kernel, layer.bias.numpy(), padding=kernel_size // 2)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-10)


def test_rings_add_up():
    """y_i = y_{i+1} + (ring i of f) * x: the outer crop is the inner one plus its ring."""
    layer = oracles.to_float64(VersatileConv2D(2, 6, 5, padding=2, bias_attr=False))
    x, w = oracles.random(1, 2, 8, 8), layer.weight.numpy()
    y = layer(paddle.to_tensor(x)).numpy()
    ring = w.copy()
    ring[:, :, 1:-1, 1:-1] = 0
    np.testing.assert_allclose(y[:, :2], y[:, 2:4] + oracles.conv2d(x, ring, padding=2), atol=1e-10)


def test_weight_gradient_equals_finite_differences():
    layer = oracles.to_float64(VersatileConv2D(3, 7, 3, padding=1, delta=1))
    x, g = oracles.random(1, 3, 5, 5), oracles.random(1, 7, 5, 5, seed=1)
    (layer(paddle.to_tensor(x)) * paddle.to_tensor(g)).sum().backward()
    analytic = layer.weight.grad.numpy().reshape(-1)

    def loss(w):
        layer.weight.set_value(w)
        return float((layer(paddle.to_tensor(x)).numpy() * g).sum())

    picks, numeric = oracles.numeric_gradient(loss, layer.weight.numpy().copy(), samples=20)
    np.testing.assert_allclose(analytic[picks], numeric, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"delta": 4}, "delta must lie in"),
        ({"delta": 2, "g": 3}, "g must be a positive divisor"),
        ({"delta": 1, "groups": 2}, "not defined for groups=2"),
        ({"groups": 4}, "which groups=4 does not divide"),
        ({"channel_mode": "code"}, "channel_mode must be"),
        ({"padding": -1}, "padding must be"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        VersatileConv2D(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **arguments})


# Learned masks


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("values", ["binary", "sign"])
def test_learned_filters_are_masked_primaries(shared, values):
    layer = oracles.to_float64(LearnedVersatileConv2D(3, 7, 3, padding=1, s=3, shared=shared, mask_values=values))
    primaries = layer.weight.shape[0]
    latent, w = layer.mask.numpy(), layer.weight.numpy()
    assert primaries == 3
    assert len(latent) == (3 if shared else 9)
    binary = (latent > 0.5).astype(float) if values == "binary" else np.where(latent > 0, 1.0, -1.0)
    kernel = np.stack([w[o % primaries] * binary[o // primaries if shared else o] for o in range(7)])
    x = oracles.random(2, 3, 5, 4)
    expected = oracles.conv2d(x, kernel, layer.bias.numpy(), padding=1)
    for mode in (layer.train, layer.eval):
        mode()
        np.testing.assert_allclose(layer(paddle.to_tensor(x)).numpy(), expected, atol=1e-10)


def test_masks_learn_straight_through():
    layer = oracles.to_float64(LearnedVersatileConv2D(2, 4, 3, s=2, bias_attr=False))
    latent = layer.mask.numpy().copy()
    latent[0, 0, 0, 0], latent[1, 0, 0, 0] = 1.2, -0.2  # outside the range: pushed back, never further out
    layer.mask.set_value(latent)
    masks = layer.masks()
    g = oracles.random(*masks.shape, seed=1)
    (masks * paddle.to_tensor(g)).sum().backward()
    flat, expected = latent.reshape(-1), g.reshape(-1).copy()
    expected[(flat >= 1) & (expected < 0)] = 0
    expected[(flat <= 0) & (expected > 0)] = 0
    np.testing.assert_allclose(layer.mask.grad.numpy().reshape(-1), expected)


def test_orthogonality_loss_and_its_gradient():
    """1/2 ||M^T M / D - I||^2 has the gradient (2/D^2) M M^T M - (2/D) M (per mask set; the loss is their mean)."""
    layer = oracles.to_float64(LearnedVersatileConv2D(2, 6, 3, s=3, bias_attr=False))
    latent = layer.mask.numpy().clip(0.01, 0.99)
    layer.mask.set_value(latent)
    binary = (latent > 0.5).astype(float).reshape(3, 2, -1)  # [s, primaries, D]
    size, expected, gradient = binary.shape[2], 0.0, np.zeros_like(binary)
    for f in range(2):
        m = binary[:, f].T  # [D, s]
        expected += 0.5 * np.square(m.T @ m / size - np.eye(3)).sum() / 2
        gradient[:, f] = ((2 / size**2) * m @ m.T @ m - (2 / size) * m).T / 2
    loss = layer.auxiliary_losses()["orthogonality"]
    np.testing.assert_allclose(float(loss), expected, rtol=1e-12)
    loss.backward()
    np.testing.assert_allclose(layer.mask.grad.numpy().reshape(binary.shape), gradient, atol=1e-12)


def test_a_few_steps_of_training_flip_masks():
    layer = LearnedVersatileConv2D(4, 8, 3, padding=1, s=4)
    optimizer = paddle.optimizer.SGD(1.0, parameters=layer.parameters())
    x, before = paddle.randn([4, 4, 6, 6]), layer.masks().numpy()
    for _ in range(5):
        layer(x).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad()
    after = layer.masks().numpy()
    assert set(np.unique(after)) == {0.0, 1.0}
    assert (before != after).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"s": 0}, "s must lie in"), ({"s": 9}, "s must lie in"), ({"mask_values": "x"}, "mask_values")],
)
def test_bad_learned_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LearnedVersatileConv2D(4, 8, 3, **arguments)


@pytest.mark.parametrize("full_graph", [True, False])
@pytest.mark.parametrize("values", ["binary", "sign"])
def test_masks_learn_in_a_traced_program(values, full_graph):
    layer = LearnedVersatileConv2D(3, 8, 3, padding=1, mask_values=values)
    low, high = layer.mask_range
    latent = layer.mask.numpy()
    latent[0, 0], latent[1, 0] = high + 0.1, low - 0.1
    layer.mask.set_value(latent)
    x, g = paddle.randn([2, 3, 6, 5]), paddle.randn([2, 8, 6, 5])
    eager = layer(x)
    (eager * g).sum().backward()
    expected = {name: parameter.grad.numpy().copy() for name, parameter in layer.named_parameters()}
    layer.clear_gradients()
    traced = paddle.jit.to_static(layer, full_graph=full_graph)(x)
    (traced * g).sum().backward()
    np.testing.assert_allclose(traced.numpy(), eager.numpy(), atol=1e-5)
    for name, parameter in layer.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    outer = expected["mask"][[0, 1], 0]
    assert 0 < np.count_nonzero(outer) < outer.size


def test_binary_masks_are_exact():
    """A latent value and its binary one never mix, in any type."""
    for dtype in ("float32", "float64"):
        layer = LearnedVersatileConv2D(4, 16, 5)
        layer.to(dtype=dtype)
        assert set(np.unique(layer.masks().numpy())) == {0.0, 1.0}
