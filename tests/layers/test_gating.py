"""ReLU gating and uniform sampling: their definitions, densities, sizes, costs, export and errors."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from paddle.static import InputSpec

from ppeffconv.layers.density import density, density_report
from ppeffconv.layers.gating import ReLUGatedConv2D, UniformSampling
from ppeffconv.layers.sampling import SampledBasicBlock


def images(shape=(2, 6, 11, 14), seed=0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def build(**options) -> ReLUGatedConv2D:
    """A layer whose gates have learned to look at the image."""
    paddle.seed(1)
    layer = ReLUGatedConv2D(6, 4, **options)
    norm = layer.collaborative[1]
    norm.weight.set_value(paddle.ones_like(norm.weight))
    norm.bias.set_value(paddle.zeros_like(norm.bias))
    return layer


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_output_is_the_product_with_the_activated_gate(shared, stride):
    layer, x = build(stride=stride, padding=1, shared=shared, bias_attr=None), images()
    layer.eval()
    conv, gate_conv, norm = layer.conv, *layer.collaborative
    assert gate_conv.weight.shape == [1 if shared else 4, 6, 1, 1]
    main = F.conv2d(x, conv.weight, conv.bias, stride=stride, padding=1).numpy()
    weight = gate_conv.weight.numpy()[:, :, 0, 0]
    gate = np.einsum("oc,nchw->nohw", weight, x.numpy()[:, :, ::stride, ::stride])
    norm._mean.set_value(paddle.full([gate.shape[1]], 0.2))
    gate = np.maximum((gate - 0.2) / np.sqrt(1 + norm._epsilon), 0)
    y = layer(x).numpy()
    np.testing.assert_allclose(y, main * gate, atol=1e-5)
    assert (y[np.broadcast_to(gate == 0, y.shape)] == 0).all()
    assert density(layer) == pytest.approx((gate > 0).mean())


@pytest.mark.parametrize("padding", [0, 1, 2, 4, (0, 3)])
@pytest.mark.parametrize(("stride", "dilation", "kernel"), [(1, 1, 3), (2, 1, 3), (3, 2, 3), (2, 1, (1, 5))])
def test_gate_reads_the_centres_of_the_windows(padding, stride, dilation, kernel):
    layer = build(kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
    delta = np.zeros(layer.conv.weight.shape, "float32")
    delta[:, 0, delta.shape[2] // 2, delta.shape[3] // 2] = 1  # the main convolution copies its windows' centres
    layer.conv.weight.set_value(delta)
    layer.collaborative[0].weight.set_value(np.eye(1, 6, dtype="float32").reshape(1, 6, 1, 1))
    layer.eval()
    x = images()
    centres = layer.conv(x).numpy()
    expected = centres * np.maximum(centres, 0) / np.sqrt(1 + layer.collaborative[1]._epsilon)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_a_new_layer_is_its_convolution_and_learns_to_gate(shared):
    layer, x = ReLUGatedConv2D(6, 4, padding=1, shared=shared), images()
    for mode in (layer.eval, layer.train):
        mode()
        np.testing.assert_array_equal(layer(x).numpy(), layer.conv(x).numpy())
    optimizer = paddle.optimizer.SGD(0.1, parameters=layer.parameters())
    start = layer.collaborative[0].weight.numpy().copy()
    for _ in range(2):  # the scale of the norm in the first step, and with it the convolution in the second
        layer(x).square().mean().backward()
        optimizer.step()
        optimizer.clear_grad()
    assert abs(layer.collaborative[0].weight.numpy() - start).max() > 0


def test_gradients_reach_both_branches():
    layer, x = build(padding=1), images()
    x.stop_gradient = False
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        if not parameter.stop_gradient:
            assert parameter.grad.abs().max() > 0, name
    assert x.grad.abs().max() > 0


def test_costs_follow_the_density():
    layer = build(stride=2, padding=1)
    assert density(layer) is None
    net = nn.Sequential(layer, nn.ReLU())
    net(images())
    (row,) = density_report(net)
    conv, gate = 6 * 7 * 4 * 6 * 9, 6 * 7 * 6
    assert (row.name, row.dense_macs) == ("0", conv)
    assert row.macs == round(row.densities[0] * conv) + gate
    assert 0.2 < density(net) < 0.8


def test_saved_graph_equals_the_layer(tmp_path):
    layer = build(stride=2)
    layer(images())
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "net"), [InputSpec([None, 6, None, None], "float32")])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for shape in ((1, 6, 11, 14), (3, 6, 8, 8)):
        np.testing.assert_allclose(loaded(images(shape)).numpy(), layer(images(shape)).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kernel_size": 2}, "kernel_size must be odd: .* got 2"), ({"groups": 4}, "groups=4 must divide in_channels=6")],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_uniform_sampling_resizes_the_input():
    seen = []
    net = nn.Conv2D(6, 1, 1)
    net.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].numpy()))
    x = images((2, 6, 12, 16))
    UniformSampling(net, 0.5)(x)
    # a factor of 2 without aligned corners is the mean over 2 x 2 blocks
    blocks = x.numpy().reshape(2, 6, 6, 2, 8, 2).mean((3, 5))
    np.testing.assert_allclose(seen[0], blocks, atol=1e-6)
    UniformSampling(net, 0.8)(x)
    assert seen[1].shape == (2, 6, 9, 12)


def test_uniform_sampling_offers_the_losses_inside():
    net = UniformSampling(SampledBasicBlock(6, 6), 0.5)
    net(images())
    assert float(net.auxiliary_losses()["sparse"]) == pytest.approx(0.9526, abs=5e-5)
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        UniformSampling(net, 0)
