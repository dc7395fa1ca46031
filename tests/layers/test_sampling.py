"""Sampled blocks: the composition, masks, losses, densities, cost accounting, export and errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from paddle.static import InputSpec

from ppeffconv.layers.density import density, density_report
from ppeffconv.layers.gumbel import set_temperature
from ppeffconv.layers.sampling import SampledBasicBlock, SampledBottleneck
from ppeffconv.ops import sample_interpolate

BLOCKS = [SampledBottleneck, SampledBasicBlock]


def images(shape=(2, 8, 13, 17), seed=0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def build(block=SampledBottleneck, in_channels=8, channels=4, stride=1, bias=0.0, **options) -> nn.Layer:
    """A block whose mask branches differ from position to position, around probability sigmoid(bias)."""
    paddle.seed(1)
    layer = block(in_channels, channels, stride, **options)
    for branch in (layer.conv1_mask, layer.conv2_mask):
        branch.weight.set_value(paddle.randn(branch.weight.shape) * 0.3)
        branch.bias.set_value(paddle.full([1], bias))
    return layer


def uniforms(layer: nn.Layer, x: paddle.Tensor) -> list[paddle.Tensor]:
    rng = np.random.default_rng(5)
    shapes = [branch(x).shape for branch in (layer.conv1_mask, layer.conv1_mask, layer.conv2_mask, layer.conv2_mask)]
    return [paddle.to_tensor(rng.random(shape).astype("float32")) for shape in shapes]


def dense(layer: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
    """The residual block without masks, from the sublayers of a sampled one."""
    y = F.relu(layer.bn1(layer.conv1(x)))
    y = layer.bn2(layer.conv2(y))
    if layer.expansion == 4:
        y = layer.bn3(layer.conv3(F.relu(y)))
    return F.relu(y + (x if layer.downsample is None else layer.downsample(x)))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("mode", ["hard", "deterministic"])
def test_full_masks_give_the_dense_block_bit_for_bit(block, stride, mode):
    layer = build(block, stride=stride, bias=100.0, eval_mode=mode)
    layer.eval()
    x = images()
    np.testing.assert_array_equal(layer(x).numpy(), dense(layer, x).numpy())
    assert density(layer) == 1.0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_bottleneck_is_the_composition_of_the_paper(stride, dilation, training):
    layer, x = build(stride=stride, dilation=dilation, grid_stride=5), images()
    layer.train() if training else layer.eval()
    noise = uniforms(layer, x)
    mask1 = layer.conv1_gumbel(F.sigmoid(layer.conv1_mask(x)), noise[:2])
    mask2 = layer.conv2_gumbel(F.sigmoid(layer.conv2_mask(x)), noise[2:])
    a = sample_interpolate(F.relu(layer.bn1(layer.conv1(x))), mask1, layer.conv1_sigma)
    b = sample_interpolate(F.relu(layer.bn2(layer.conv2(a))), mask2, layer.conv2_sigma)
    shortcut = x if layer.downsample is None else layer.downsample(x)
    expected = F.relu(layer.bn3(layer.conv3(b)) + shortcut)
    y = layer(x, noise=noise)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-5)
    assert y.shape == [2, 16, -(-13 // stride), -(-17 // stride)]


@pytest.mark.parametrize("interpolate", [True, False])
def test_basic_block_fills_both_outputs(interpolate):
    layer, x = build(SampledBasicBlock, stride=2, interpolate=interpolate), images((1, 8, 9, 7))
    layer.eval()
    noise = uniforms(layer, x)
    mask1 = layer.conv1_gumbel(F.sigmoid(layer.conv1_mask(x)), noise[:2])
    mask2 = layer.conv2_gumbel(F.sigmoid(layer.conv2_mask(x)), noise[2:])

    def fill(features, mask):
        return sample_interpolate(features, mask, paddle.to_tensor([3.0])) if interpolate else features * mask

    a = fill(F.relu(layer.bn1(layer.conv1(x))), mask1)
    b = fill(layer.bn2(layer.conv2(a)), mask2)
    expected = F.relu(b + layer.downsample(x))
    np.testing.assert_allclose(layer(x, noise).numpy(), expected.numpy(), atol=1e-6)
    assert hasattr(layer, "conv1_sigma") == interpolate


@pytest.mark.parametrize("kernel", ["gaussian", "learned", "average"])
@pytest.mark.parametrize("block", BLOCKS)
def test_every_kernel_trains_every_parameter(block, kernel):
    layer = build(block, stride=2, kernel=kernel, window=5)
    x = images((1, 8, 11, 9))
    x.stop_gradient = False
    (layer(x).sum() + layer.auxiliary_losses()["sparse"]).backward()
    names = {name: parameter for name, parameter in layer.named_parameters() if not parameter.stop_gradient}
    assert ("conv1_sigma" in names) == (kernel == "gaussian")
    assert ("conv2_kernel" in names) == (kernel == "learned")
    for name, parameter in {**names, "x": x}.items():
        assert np.isfinite(parameter.grad.numpy()).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_state_dict_has_the_authors_keys():
    names = set(SampledBottleneck(8, 4, 2).state_dict())
    convs = {"conv1.weight", "conv2.weight", "conv3.weight", "downsample.0.weight"}
    norms = {
        f"{n}.{k}" for n in ("bn1", "bn2", "bn3", "downsample.1") for k in ("weight", "bias", "_mean", "_variance")
    }
    masks = {f"conv{i}_{k}" for i in (1, 2) for k in ("mask.weight", "mask.bias", "gumbel.cur_T", "sigma")}
    assert names == convs | norms | masks
    assert SampledBottleneck(16, 4).downsample is None
    assert SampledBottleneck(16, 4, downsample=nn.Identity()).downsample is not None


def test_initialisation_keeps_nearly_everything():
    layer = SampledBottleneck(8, 4)
    x = images()
    np.testing.assert_allclose(F.sigmoid(layer.conv1_mask(x)).numpy(), 0.9526, atol=5e-5)
    layer(x)
    assert float(layer.auxiliary_losses()["sparse"]) == pytest.approx(0.9526, abs=5e-5)
    assert layer.conv1_sigma.numpy().tolist() == [3.0]
    wide = SampledBottleneck(64, 64).conv2.weight.numpy()
    assert wide.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.05)


def test_sparse_loss_weighs_the_noise_free_probabilities():
    for block, weights in ((SampledBottleneck, (0.25, 0.75)), (SampledBasicBlock, (0.5, 0.5))):
        layer, x = build(block, stride=2), images()
        assert layer.auxiliary_losses() == {}
        layer(x)
        p1, p2 = (float(F.sigmoid(branch(x)).mean()) for branch in (layer.conv1_mask, layer.conv2_mask))
        expected = weights[0] * p1 + weights[1] * p2
        assert float(layer.auxiliary_losses()["sparse"]) == pytest.approx(expected, rel=1e-5)


def test_sparse_loss_alone_thins_the_masks_out():
    layer, x = build(bias=1.0), images()
    optimizer = paddle.optimizer.SGD(20.0, parameters=layer.parameters())
    densities = []
    for _ in range(12):
        layer(x)
        densities.append(density(layer))
        layer.auxiliary_losses()["sparse"].backward()
        optimizer.step()
        optimizer.clear_grad()
    assert densities[-1] < 0.6 * densities[0]


def test_density_is_the_share_of_sampled_positions():
    layer, x = build(stride=2, grid_stride=4), images()
    assert density(layer) is None
    assert density_report(layer) == []
    masks = []
    for sampler in (layer.conv1_gumbel, layer.conv2_gumbel):
        sampler.register_forward_post_hook(lambda layer, inputs, mask: masks.append(mask.numpy()))
    net = nn.Sequential(nn.Conv2D(8, 8, 1), layer)
    for mode in (net.train, net.eval):
        masks.clear()
        mode()
        net(x)
        expected = [(mask >= 0.5).mean() for mask in masks]
        assert density(net) == pytest.approx(np.mean(expected), rel=1e-6)
        (row,) = density_report(net)
        assert row.name == "1"
        assert row.densities == pytest.approx(expected, rel=1e-6)
    assert density(nn.Conv2D(1, 1, 1)) is None


def test_interpolation_is_declared_per_tap_and_element():
    layer, x = build(stride=2, window=5), images()
    assert layer.extra_macs(x, layer(x)) == 25 * 2 * 4 * (13 * 17 + 7 * 9)
    basic = build(SampledBasicBlock, stride=2)
    assert basic.extra_macs(x, basic(x)) == 49 * 2 * 4 * 2 * 7 * 9
    assert build(interpolate=False).extra_macs(x, None) == 0


def test_expected_macs_reproduce_the_authors_calculator():
    """ResNet-101 on 992 x 1664 without deformable offsets, from maps 31 * 52 times smaller (GMACs by the sheet)."""
    totals = {"dense": 0, "full": 0, "empty": 0, "half": 0}
    for stage, count in enumerate((3, 4, 23, 3)):
        channels, size = 64 * 2**stage, 8 // 2 ** max(stage - 1, 0)
        first = SampledBottleneck(64 if stage == 0 else channels * 2, channels, 1 if stage == 0 else 2)
        other = SampledBottleneck(channels * 4, channels)
        for block, repeat in ((first, 1), (other, count - 1)):
            x = paddle.zeros([1, block.in_channels, size, size])
            block.eval()
            size = block(x).shape[2]
            totals["dense"] += repeat * block.expected_macs(None)
            totals["full"] += repeat * block.expected_macs((1.0, 1.0))
            totals["empty"] += repeat * block.expected_macs((0.0, 0.0))
            totals["half"] += repeat * block.expected_macs((0.5, 0.5))
    giga = {name: 31 * 52 * macs / 1e9 for name, macs in totals.items()}
    stem = 64 * 3 * 49 * 496 * 832 / 1e9
    offsets = 32.9
    assert giga["dense"] + stem + offsets == pytest.approx(289.5, abs=0.1)
    assert giga["full"] + stem + offsets == pytest.approx(294.5, abs=0.1)
    assert giga["empty"] + stem == pytest.approx(20.8, abs=0.1)
    assert giga["full"] > giga["half"] > giga["empty"]


def test_interpolating_costs_most_at_half_density():
    layer = build(channels=2)
    layer(images((1, 8, 10, 10)))
    convs, masks = 100 * (8 * 2 + 2 * 2 * 9 + 2 * 8), 100 * 2 * 72
    assert layer.expected_macs(None) == convs
    assert layer.expected_macs((0.5, 0.5)) == convs / 2 + masks + 49 * 100 * (2 + 8) / 4


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("mode", ["deterministic", "reference"])
def test_saved_graph_equals_the_layer_on_other_batches_and_sizes(block, mode, tmp_path):
    layer = build(block, stride=2, eval_mode=mode)
    layer(images())
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "net"), [InputSpec([None, 8, None, None], "float32")])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    loaded.eval()
    for shape in ((3, 8, 13, 17), (1, 8, 8, 6)):
        x = images(shape)
        outputs = []
        for net in (layer, loaded):
            paddle.seed(9)
            outputs.append(net(x).numpy())
        np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)


def test_tracing_forgets_the_facts_of_an_eager_forward():
    layer = build()
    layer(images())
    assert layer.auxiliary_losses()
    traced = paddle.jit.to_static(layer, full_graph=True)
    traced(images())
    assert layer.auxiliary_losses() == {}
    assert density(layer) is None


def test_copies_and_pickles_leave_the_gradient_graph_behind():
    layer = build()
    layer(images())
    assert copy.deepcopy(layer).auxiliary_losses() == {}
    assert pickle.loads(pickle.dumps(layer._last)) == {}
    assert layer.auxiliary_losses()


def test_same_seed_same_output_and_batch_of_one():
    layer, x = build(), images((1, 8, 5, 5))
    outputs = []
    for _ in range(2):
        paddle.seed(2)
        outputs.append(layer(x).numpy())
    np.testing.assert_array_equal(*outputs)
    assert outputs[0].shape == (1, 16, 5, 5)


def test_set_temperature_sharpens_the_masks():
    layer, x = build(grid_stride=0), images()
    mask = []
    layer.conv1_gumbel.register_forward_post_hook(lambda layer, inputs, output: mask.append(output.numpy()))
    noise = uniforms(layer, x)
    for temperature in (1.0, 0.03):
        assert set_temperature(layer, temperature) == 2
        layer(x, noise)
    undecided = [((m > 0.05) & (m < 0.95)).mean() for m in mask]
    assert undecided[1] < 0.1 * undecided[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "bilinear"}, "kernel must be one of gaussian, learned, average, got 'bilinear'"),
        ({"window": 6}, "window must be an odd positive integer, got 6"),
        ({"sampling": "none"}, "sampling must be one of"),
        ({"in_channels": 0}, "must be a positive integer, got 0"),
        ({"stride": 0}, "stride must be"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        SampledBottleneck(**{"in_channels": 8, "channels": 4, **options})


def test_wrong_inputs_are_explained():
    layer = build()
    with pytest.raises(ValueError, match=r"SampledBottleneck expects input \[N, 8, H, W\], got \[2, 3, 5, 5\]"):
        layer(images((2, 3, 5, 5)))
    with pytest.raises(ValueError, match="noise must be four tensors"):
        layer(images(), uniforms(layer, images())[:2])
    with pytest.raises(RuntimeError, match="backend 'cuda' was asked for"):
        build(backend="cuda")(images())
