"""Every public layer behaves as Paddle's do: hooks, weight_norm, wrappers, copies, types."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.utils import remove_weight_norm, spectral_norm, weight_norm

from ppeffconv.layers import OctConv2D
from ppeffconv.models import profile

from .public import LAYERS, inputs_of, outputs_of


def build(name: str) -> tuple[nn.Layer, list]:
    paddle.seed(0)
    return LAYERS[name].build(), inputs_of(LAYERS[name])


def convolutions(layer: nn.Layer) -> dict[str, nn.Layer]:
    """Those inside, by name."""
    kinds = (nn.Conv2D, nn.Conv3D, nn.Conv2DTranspose)
    return {name: inner for name, inner in layer.named_sublayers() if isinstance(inner, kinds)}


def weighing(layer: nn.Layer) -> list[nn.Layer]:
    """All that have the weight of a convolution; not of zeros, which have no direction."""
    inside = layer.sublayers(include_self=True)
    weights = [getattr(inner, "weight", None) for inner in inside]
    return [i for i, w in zip(inside, weights) if w is not None and w.ndim >= 4 and bool(w.any())]


def put(layer: nn.Layer, name: str, new: nn.Layer) -> None:
    *path, last = name.split(".")
    for step in path:
        layer = layer._sub_layers[step]
    layer.add_sublayer(last, new)


class Wrapper(nn.Layer):
    """What low-rank adaptation and quantisation put in place of a convolution."""

    def __init__(self, wrapped: nn.Layer) -> None:
        super().__init__()
        self.wrapped, self.calls = wrapped, 0

    def forward(self, *inputs):
        self.calls += 1
        return self.wrapped(*inputs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_hooks_of_every_sublayer_run(name, training):
    layer, inputs = build(name)
    layer.train() if training else layer.eval()
    plain = [y.numpy() for y in outputs_of(layer, inputs)]
    before, after = set(), set()
    for path, inner in layer.named_sublayers():
        if isinstance(inner, nn.LayerList):  # is never called
            continue
        inner.register_forward_pre_hook(lambda layer, inputs, path=path: before.add(path))
        inner.register_forward_post_hook(lambda layer, inputs, output, path=path: after.add(path))
    hooked = outputs_of(layer, inputs)
    expected = {path for path, inner in layer.named_sublayers() if not isinstance(inner, nn.LayerList)}
    assert (before, after) == (expected, expected)
    for ours, theirs in zip(hooked, plain, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_hook_may_change_what_a_convolution_gives(name, training):
    layer, inputs = build(name)
    layer.train() if training else layer.eval()
    plain = outputs_of(layer, inputs)
    for inner in convolutions(layer).values():
        inner.register_forward_post_hook(lambda layer, inputs, output: output * 0)
    changed = outputs_of(layer, inputs)
    if convolutions(layer):
        assert any((ours - theirs).abs().max() > 1e-3 for ours, theirs in zip(changed, plain))


@pytest.mark.parametrize("name", LAYERS)
def test_weight_norm_trains(name):
    layer, inputs = build(name)
    expected = [y.numpy() for y in outputs_of(layer, inputs)]
    for inner in convolutions(layer).values():
        weight_norm(inner)
    optimizer = paddle.optimizer.SGD(0.1, layer.parameters())
    for step in range(2):
        ys = outputs_of(layer, inputs)
        if step == 0 and "Sampled" not in name:  # a weight of zeros has no direction
            for ours, theirs in zip(ys, expected, strict=True):
                np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-5)
        sum(y.square().sum() for y in ys).backward()
        if step == 0:
            for path, inner in convolutions(layer).items():
                assert inner.weight_g.grad is not None, path
        optimizer.step()
        optimizer.clear_grad()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_weight_norm_comes_and_goes(name, training):
    layer, inputs = build(name)
    layer.train() if training else layer.eval()
    expected, keys = [y.numpy() for y in outputs_of(layer, inputs)], set(layer.state_dict())
    for change in (weight_norm, remove_weight_norm):
        for inner in weighing(layer):
            change(inner)
        for ours, theirs in zip(outputs_of(layer, inputs), expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-5)
    assert set(layer.state_dict()) == keys


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_spectral_norm_trains(name, training):
    layer, inputs = build(name)
    layer.train() if training else layer.eval()
    inside = weighing(layer)
    for inner in inside:
        spectral_norm(inner)
    optimizer = paddle.optimizer.SGD(0.1, layer.parameters())
    for _ in range(2):
        sum(y.square().sum() for y in outputs_of(layer, inputs)).backward()
        assert all(inner.weight_orig.grad is not None for inner in inside)
        optimizer.step()
        optimizer.clear_grad()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_a_wrapper_may_stand_in_place_of_a_convolution(name, training):
    layer, inputs = build(name)
    layer.train() if training else layer.eval()
    expected = [y.numpy() for y in outputs_of(layer, inputs)]
    wrappers = {path: Wrapper(inner) for path, inner in convolutions(layer).items()}
    for path, wrapper in wrappers.items():
        put(layer, path, wrapper)
    ys = outputs_of(layer, inputs)
    for ours, theirs in zip(ys, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-5)
    assert all(wrapper.calls for wrapper in wrappers.values())
    if hasattr(layer, "expected_macs"):
        assert layer.expected_macs([0.5, 0.5]) > 0


@pytest.mark.parametrize("name", [name for name in LAYERS if len(LAYERS[name].inputs) == 1 and "Oct" not in name])
def test_multiply_adds_are_counted_through_wrappers(name):
    layer, _ = build(name)
    shape = LAYERS[name].inputs[0]
    expected = profile(layer, shape).macs
    for path, inner in convolutions(layer).items():
        put(layer, path, Wrapper(inner))
    assert profile(layer, shape).macs == expected


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_made_before_their_memory(name):
    """As large networks are, under `paddle.LazyGuard`."""
    usual, inputs = build(name)
    with paddle.LazyGuard():
        layer = LAYERS[name].build()
    for parameter in layer.parameters():
        parameter.initialize()
    for (key, ours), theirs in zip(layer.named_parameters(), usual.parameters(), strict=True):
        if theirs.min() == theirs.max() and theirs.size > 1:  # starts as a constant
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=key)
    for ours, theirs in zip(outputs_of(layer, inputs), outputs_of(usual, inputs), strict=True):
        assert ours.shape == theirs.shape
        assert np.isfinite(ours.numpy()).all()


@pytest.mark.parametrize("name", LAYERS)
def test_copies_and_pickled_states_give_the_same(name):
    layer, inputs = build(name)
    outputs_of(layer, inputs)  # what a forward leaves behind must not hinder
    layer.eval()
    expected = [y.numpy() for y in outputs_of(layer, inputs)]
    twin = copy.deepcopy(layer)
    state = pickle.loads(pickle.dumps({key: value.numpy() for key, value in layer.state_dict().items()}))
    other = LAYERS[name].build()
    other.set_state_dict(state)
    other.eval()
    for copied in (twin, other):
        assert list(copied.state_dict()) == list(layer.state_dict())
        for ours, theirs in zip(outputs_of(copied, inputs), expected, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_change_their_type(name):
    layer, inputs = build(name)
    layer.eval()
    expected = [y.numpy() for y in outputs_of(layer, inputs)]
    layer.to(dtype="float64")
    wide = [tuple(p.astype("float64") for p in x) if isinstance(x, tuple) else x.astype("float64") for x in inputs]
    for ours, theirs in zip(outputs_of(layer, wide), expected, strict=True):
        assert ours.dtype == paddle.float64
        np.testing.assert_allclose(ours.numpy(), theirs, atol=5e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_parameters_stand_in_the_state_and_apply_reaches_all(name):
    layer, _ = build(name)
    names = [key for key, _ in layer.named_parameters()]
    assert len(set(names)) == len(names)
    assert [key for key in layer.state_dict() if key in names] == names
    seen = []
    layer.apply(lambda inner: seen.append(id(inner)))
    assert set(seen) == {id(inner) for inner in layer.sublayers(include_self=True)}
    assert len({parameter.name for parameter in layer.parameters()}) == len(names)


def test_two_convolutions_of_an_octave_convolution_are_one_only_where_nobody_looks():
    paddle.seed(0)
    conv = OctConv2D(8, 8, 3, padding=1, stride=2)
    inputs = inputs_of(LAYERS["OctConv2D"])
    fused = outputs_of(conv, inputs)
    conv.conv_l2l.register_forward_post_hook(lambda layer, inputs, output: output + 1)
    high, low = outputs_of(conv, inputs)
    np.testing.assert_allclose(high.numpy(), fused[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(low.numpy(), fused[1].numpy() + 1, atol=1e-5)
