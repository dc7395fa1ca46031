"""OctConv2D against a loop form, its identities, and the article's ten defects."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv import layers
from ppeffconv.layers import OctConv2D, OctConvBNAct
from tests import oracles


def weights(conv, name):
    path = conv._sub_layers.get(f"conv_{name}")
    return None if path is None else path.weight.numpy().astype("float64")


def bias(conv, name):
    path = conv._sub_layers.get(f"conv_{name}")
    return None if path is None or path.bias is None else path.bias.numpy().astype("float64")


def naive(conv, high, low, padding, dilation=1, groups=None):
    """The four paths of the paper's Eq. 4, one after the other."""
    groups = groups or {}
    if conv.stride == 2 and high is not None:
        high = oracles.average_pool2(high)

    def path(name, x):
        w = weights(conv, name)
        return (
            None
            if x is None or w is None
            else oracles.conv2d(x, w, bias(conv, name), 1, padding, dilation, groups.get(name, 1))
        )

    y_high, from_low = path("h2h", high), path("l2h", low)
    if conv.stride == 1 and from_low is not None:
        size = [2 * s for s in from_low.shape[2:]] if y_high is None else y_high.shape[2:]
        from_low = oracles.upsample2(from_low, *size)
    pooled = None if high is None else oracles.average_pool2(high)
    y_low = path("h2l", pooled)
    low_in = oracles.average_pool2(low) if conv.stride == 2 and low is not None else low
    y_l2l = path("l2l", low_in)
    total = lambda a, b: b if a is None else a if b is None else a + b  # noqa: E731
    return total(y_high, from_low), total(y_low, y_l2l)


def pair_of(conv, height, width, batch=2):
    high, low = conv.in_split
    x_high = oracles.random(batch, high, height, width) if high else None
    x_low = oracles.random(batch, low, (height + 1) // 2, (width + 1) // 2, seed=1) if low else None
    return x_high, x_low


def run(conv, pair):
    y = conv(tuple(None if x is None else paddle.to_tensor(x) for x in pair))
    return tuple(None if group is None else group.numpy() for group in y)


@pytest.mark.parametrize("size", [(7, 9), (14, 15), (1, 2), (3, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("alpha_in", "alpha_out"),
    [(0, 0), (0, 0.5), (0.5, 0.5), (0.25, 0.75), (0.5, 0), (1, 1), (1, 0.5), (0.5, 1), (0, 1), (1, 0)],
)
def test_equals_the_loop(alpha_in, alpha_out, stride, size):
    conv = oracles.to_float64(OctConv2D(8, 6, 3, alpha_in, alpha_out, stride, 1, bias_attr=True))
    pair = pair_of(conv, *size)
    for ours, theirs in zip(run(conv, pair), naive(conv, *pair, padding=1), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize(("kernel_size", "padding", "dilation"), [(1, 0, 1), (5, 2, 1), (3, 2, 2)])
def test_kernels_and_dilation(kernel_size, padding, dilation):
    conv = oracles.to_float64(OctConv2D(4, 4, kernel_size, padding=padding, dilation=dilation))
    pair = pair_of(conv, 7, 6)
    for ours, theirs in zip(run(conv, pair), naive(conv, *pair, padding=padding, dilation=dilation), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
def test_output_sizes_are_those_of_a_strided_convolution(stride):
    conv = OctConv2D(8, 8, 3, stride=stride, padding=1)
    for height in (7, 9, 14, 15):
        high, low = run(conv, [x.astype("float32") for x in pair_of(conv, height, height, 1)])
        assert high.shape[2] == -(-height // stride)
        assert low.shape[2] == -(-high.shape[2] // 2)


def test_weights_number_those_of_the_plain_convolution():
    for alpha in (0, 0.125, 0.29, 0.5, 0.875, 1):
        conv = OctConv2D(16, 24, 3, alpha, alpha, padding=1)
        assert sum(p.size for p in conv.parameters()) == 16 * 24 * 9
        assert conv.in_split[1] == int(alpha * 16)


def test_alpha_zero_is_the_plain_convolution():
    conv = OctConv2D(4, 6, 3, 0, 0, padding=1)
    x = paddle.randn([2, 4, 7, 5])
    high, low = conv(x)
    assert low is None
    assert (high == conv.conv_h2h(x)).all()
    strided = OctConv2D(4, 6, 3, 0, 0, stride=2, padding=1)
    assert (strided(x)[0] == strided.conv_h2h(layers.downsample2(x))).all()


def test_bias_counts_once_per_output_group():
    conv = OctConv2D(8, 8, 3, padding=1, bias_attr=True)
    assert [name for name, _ in conv.named_parameters() if name.endswith("bias")] == ["conv_h2h.bias", "conv_h2l.bias"]
    only_low = OctConv2D(8, 8, 3, 1, 0.5, padding=1, bias_attr=True)
    assert [n for n, _ in only_low.named_parameters() if n.endswith("bias")] == ["conv_l2h.bias", "conv_l2l.bias"]
    zero = [paddle.zeros([1, 4, 4, 4]), paddle.zeros([1, 4, 2, 2])]
    high, low = conv(tuple(zero))
    np.testing.assert_allclose(high[0, :, 1, 1].numpy(), conv.conv_h2h.bias.numpy())
    np.testing.assert_allclose(low[0, :, 1, 1].numpy(), conv.conv_h2l.bias.numpy())


def test_depthwise_has_no_exchange():
    conv = oracles.to_float64(OctConv2D(8, 8, 3, 0.25, 0.25, padding=1, groups=8))
    assert set(conv._sub_layers) == {"conv_h2h", "conv_l2l"}
    pair = pair_of(conv, 7, 7)
    expected = naive(conv, *pair, padding=1, groups={"h2h": 6, "l2l": 2})
    for ours, theirs in zip(run(conv, pair), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_grouped_uses_the_same_count_everywhere():
    conv = oracles.to_float64(OctConv2D(16, 8, 3, padding=1, groups=2))
    pair = pair_of(conv, 5, 6)
    expected = naive(conv, *pair, padding=1, groups=dict.fromkeys(("h2h", "h2l", "l2h", "l2l"), 2))
    for ours, theirs in zip(run(conv, pair), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_stride_2_is_two_convolutions_of_the_stacked_input():
    """The linear operations change places: z = [P x_h, x_l], y_h = conv(z), y_l = conv(P z)."""
    conv = oracles.to_float64(OctConv2D(8, 8, 3, stride=2, padding=1))
    x_high, x_low = pair_of(conv, 8, 8)
    z = np.concatenate([oracles.average_pool2(x_high), x_low], 1)
    high, low = run(conv, (x_high, x_low))
    w_high = np.concatenate([weights(conv, "h2h"), weights(conv, "l2h")], 1)
    w_low = np.concatenate([weights(conv, "h2l"), weights(conv, "l2l")], 1)
    np.testing.assert_allclose(high, oracles.conv2d(z, w_high, padding=1), atol=1e-10)
    np.testing.assert_allclose(low, oracles.conv2d(oracles.average_pool2(z), w_low, padding=1), atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("alpha_in", "alpha_out"), [(0.5, 0.5), (0.25, 0.75), (0.5, 0), (0, 0.5)])
def test_training_stacks_what_evaluation_adds(alpha_in, alpha_out, stride):
    conv = oracles.to_float64(OctConv2D(8, 8, 3, alpha_in, alpha_out, stride, 1, bias_attr=True))
    pair, runs = pair_of(conv, 7, 6), []
    for mode in (conv.train, conv.eval):
        mode()
        inputs = [None if x is None else oracles.tensor(x, grad=True) for x in pair]
        outputs = [y for y in conv(tuple(inputs)) if y is not None]
        conv.clear_gradients()
        sum((y * y).sum() for y in outputs).backward()
        tensors = [*(x.grad for x in inputs if x is not None), *(p.grad for p in conv.parameters())]
        runs.append([t.numpy() for t in (*outputs, *tensors)])
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_gradients_reach_every_weight_and_both_inputs():
    conv = OctConvBNAct(8, 8, 3, padding=1)
    inputs = [paddle.randn([2, 4, 5, 7]), paddle.randn([2, 4, 3, 4])]
    for x in inputs:
        x.stop_gradient = False
    high, low = conv(tuple(inputs))
    (high.sum() + (low * low).sum()).backward()
    for tensor in [*inputs, *(p for n, p in conv.named_parameters() if "weight" in n)]:
        assert float(tensor.grad.abs().max()) > 0


def test_pair_helpers():
    high, low = paddle.ones([1, 2, 5, 5]), paddle.full([1, 3, 3, 3], 2.0)
    assert layers.octave_map(paddle.sum, (high, None))[1] is None
    assert layers.octave_add((high, None), (high, low))[1] is low
    merged = layers.octave_merge((high, low))
    assert merged.shape == [1, 5, 5, 5]
    assert (merged[:, 2:] == 2).all()
    assert layers.octave_merge((high, None)) is high


@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize("size", [1, 4, 5, 6, 7])
def test_pooled_pairs_stay_a_pair(size, kind):
    """The low group is half the high one after pooling too, whatever the size."""
    pair = pair_of(OctConv2D(4, 4, 1), size, size)
    high, low = layers.octave_pool(tuple(map(paddle.to_tensor, pair)), kind)
    assert low.shape[2] == -(-high.shape[2] // 2)
    window = pair[0][:, :, :2, :2]
    expected = window.max((2, 3)) if kind == "max" else window.mean((2, 3))
    np.testing.assert_allclose(high[:, :, 0, 0].numpy(), expected)
    with pytest.raises(ValueError, match="kind must be"):
        layers.octave_pool((high, low), "sum")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha_in": 1.5}, r"alpha must lie in \[0, 1\]"),
        ({"alpha_out": -0.1}, r"alpha must lie in \[0, 1\]"),
        ({"stride": 3}, "stride must be 1 or 2"),
        ({"padding": 0}, "must keep the size"),
        ({"kernel_size": 2}, "must keep the size"),
        ({"groups": 3}, "must divide"),
        ({"groups": 8, "alpha_in": 0.25}, "depthwise needs alpha_in == alpha_out"),
        ({"groups": 4, "alpha_in": 0.25, "alpha_out": 0.25}, "must divide each group's width"),
        ({"in_channels": 0}, "in_channels must be a positive integer"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        OctConv2D(**{"in_channels": 8, "out_channels": 8, "kernel_size": 3, "padding": 1, **arguments})


def test_bad_inputs_are_named():
    conv = OctConv2D(8, 8, 3, padding=1)
    high = paddle.randn([1, 4, 6, 6])
    for x, message in [
        (high, "expects a pair"),
        ((high, None), "low group must have 4 channels, got none"),
        ((high, paddle.randn([1, 4, 6, 6])), r"needs a low group of \[3, 3\]"),
        ((paddle.randn([1, 5, 6, 6]), paddle.randn([1, 4, 3, 3])), "expects input"),
        ((high, high, high), "got 3 tensors"),
    ]:
        with pytest.raises(ValueError, match=message):
            conv(x)
