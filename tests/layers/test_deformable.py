"""Deformable convolution against loops, and the blocks that have one."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

import ppeffconv
from ppeffconv.layers import DeformableConv2D, DeformableSampledBottleneck, SampledBottleneck, density
from ppeffconv.models.blocks import Bottleneck, ConvSlots, DeformableBottleneck
from ppeffconv.ops import sample_interpolate

from ..oracles import check_gradients, random, tensor, to_float64


def read_between(x, row, column):
    """x [C, H, W] at a point, bilinearly; outside are zeros."""
    value = np.zeros(x.shape[0])
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
                value += x[:, i, j] * (1 - abs(row - i)) * (1 - abs(column - j))
    return value


def by_loops(x, offset, weight, stride, dilation):
    n, (_, _, oh, ow) = x.shape[0], offset.shape
    y = np.zeros((n, weight.shape[0], oh, ow))
    for b in range(n):
        for row in range(oh):
            for column in range(ow):
                for t in range(9):
                    dy, dx = offset[b, 2 * t : 2 * t + 2, row, column]
                    point = row * stride + (t // 3 - 1) * dilation + dy, column * stride + (t % 3 - 1) * dilation + dx
                    y[b, :, row, column] += weight[:, :, t // 3, t % 3] @ read_between(x[b], *point)
    return y


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (2, 4)])
def test_equals_loops(stride, dilation):
    layer, x = to_float64(DeformableConv2D(3, 4, stride, dilation)), random(2, 3, 5, 6)
    offset = 1.5 * random(2, 18, -(-5 // stride), -(-6 // stride), seed=1)
    expected = by_loops(x, offset, layer.weight.numpy(), stride, dilation)
    np.testing.assert_allclose(layer(tensor(x), tensor(offset)).numpy(), expected, rtol=1e-10, atol=1e-10)


def test_gradients():
    layer, x = to_float64(DeformableConv2D(2, 3, 2)), tensor(random(1, 2, 4, 5), grad=True)
    offset, weight = tensor(random(1, 18, 2, 3, seed=1), grad=True), tensor(random(1, 3, 2, 3, seed=2))
    check_gradients(lambda: (layer(x, offset) * weight).sum(), [x, offset, layer.weight], relative=1e-5)


def with_offsets(block):
    """The block with offsets of a pixel or so, and with masks that differ from position to position."""
    block.conv2_offset.weight.set_value(paddle.randn(block.conv2_offset.weight.shape) * 0.3)
    for name in ("conv1_mask", "conv2_mask"):
        if hasattr(block, name):
            getattr(block, name).weight.set_value(paddle.randn(getattr(block, name).weight.shape) * 0.3)
            getattr(block, name).bias.set_value(paddle.zeros([1]))
    block.eval()
    return block


@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2)])
def test_offsets_come_from_the_blocks_input(stride, dilation):
    x = paddle.randn([1, 8, 7, 9])
    block = with_offsets(DeformableBottleneck(ConvSlots(), 8, 4, stride, dilation))
    a = F.relu(block.bn1(block.conv1(x)))
    b = F.relu(block.bn2(block.conv2(a, block.conv2_offset(x))))
    expected = F.relu(block.bn3(block.conv3(b)) + block.downsample(x))
    np.testing.assert_allclose(block(x).numpy(), expected.numpy(), atol=1e-5)

    block = with_offsets(DeformableSampledBottleneck(8, 4, stride, dilation=dilation, eval_mode="deterministic"))
    masks = [
        sampler(F.sigmoid(branch(x)))
        for sampler, branch in ((block.conv1_gumbel, block.conv1_mask), (block.conv2_gumbel, block.conv2_mask))
    ]
    a = sample_interpolate(F.relu(block.bn1(block.conv1(x))), masks[0], block.conv1_sigma)
    b = F.relu(block.bn2(block.conv2(a, block.conv2_offset(x))))
    b = sample_interpolate(b, masks[1], block.conv2_sigma)
    expected = F.relu(block.bn3(block.conv3(b)) + block.downsample(x))
    np.testing.assert_allclose(block(x).numpy(), expected.numpy(), atol=1e-5)
    assert 0.1 < density(block) < 0.9


@pytest.mark.parametrize(
    ("plain", "deformable"),
    [
        (lambda: Bottleneck(ConvSlots(), 8, 4, 2), lambda: DeformableBottleneck(ConvSlots(), 8, 4, 2)),
        (
            lambda: SampledBottleneck(8, 4, 2, eval_mode="hard"),
            lambda: DeformableSampledBottleneck(8, 4, 2, eval_mode="hard"),
        ),
    ],
)
def test_a_new_block_is_the_block_without_offsets_and_has_the_authors_keys(plain, deformable):
    """The offsets start at 0, and the weights of the dense network fit as they are."""
    plain, deformable, x = plain(), deformable(), paddle.randn([2, 8, 7, 9])
    state = deformable.state_dict()
    assert set(state) - set(plain.state_dict()) == {"conv2_offset.weight", "conv2_offset.bias"}
    deformable.set_state_dict(state | plain.state_dict())
    outputs = []
    for block in (plain, deformable):
        block.eval()
        paddle.seed(3)
        outputs.append(block(x).numpy())
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)


def test_networks_are_deformable_in_stages_2_to_4():
    net = ppeffconv.create_model("sampled_resnet50", deformable=True, features_only=True, output_stride=8, width=8)
    kinds = [{type(block).__name__ for block in getattr(net, f"layer{i}")} for i in range(1, 5)]
    assert kinds == [{"SampledBottleneck"}] + [{"DeformableSampledBottleneck"}] * 3
    assert [block.conv2._dilation[0] for block in net.layer4] == [2, 4, 4]
    assert [block.conv2_offset._dilation[0] for block in net.layer4] == [2, 4, 4]
    maps = net(paddle.randn([1, 3, 33, 47]))
    assert [m.shape[2:] for m in maps] == [[9, 12], [5, 6], [5, 6], [5, 6]]
    sum([m.sum() for m in maps], net.auxiliary_losses()["sparse"]).backward()
    silent = [n for n, p in net.named_parameters() if not p.stop_gradient and p.grad is None]
    assert silent == []
    dense = ppeffconv.create_model("resnet50", deformable=True, width=8)
    assert type(dense.layer1[0]) is Bottleneck
    assert {type(block) for block in dense.layer4} == {DeformableBottleneck}


@pytest.mark.parametrize("name", ["resnet18", "sampled_resnet34", "oct_resnet50", "ddf_resnet50", "resnet20"])
def test_networks_that_cannot_be_deformable(name):
    with pytest.raises(ValueError, match="networks of bottleneck blocks, plain or sampled"):
        ppeffconv.create_model(name, deformable=True)


def test_deploy_keeps_what_it_does_not_know():
    """A deformable block stays as it is beside deployed ones; nothing changes."""
    net = ppeffconv.create_model("resnet50", deformable=True, width=8, num_classes=3)
    with_offsets(net.layer3[1])
    net.eval()
    x = paddle.randn([1, 3, 40, 33])
    np.testing.assert_allclose(ppeffconv.deploy(net)(x).numpy(), net(x).numpy(), rtol=1e-3, atol=1e-5)


def test_saved_graph_equals_the_block(tmp_path):
    block = with_offsets(DeformableSampledBottleneck(8, 4, 2, eval_mode="deterministic"))
    paddle.jit.save(block, str(tmp_path / "net"), [paddle.static.InputSpec([None, 8, None, None], "float32")])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    x = paddle.randn([2, 8, 7, 9])
    np.testing.assert_allclose(loaded(x).numpy(), block(x).numpy(), atol=1e-5)
