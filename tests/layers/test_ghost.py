"""GhostConv2D: the composition, widths, parameter counts, export and errors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle.static import InputSpec

from ppeffconv.layers.ghost import GhostConv2D


def images(shape=(2, 6, 9, 7), seed=0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize(("ratio", "dw_size"), [(2, 3), (3, 5)])
def test_ghosts_are_filtered_intrinsic_maps(ratio, dw_size, relu):
    layer, x = GhostConv2D(6, 8, 3, 2, 1, ratio=ratio, dw_size=dw_size, relu=relu), images()
    layer.eval()
    activate = (lambda y: np.maximum(y, 0)) if relu else (lambda y: y)
    scale = np.sqrt(1 + layer.primary_conv[1]._epsilon)
    intrinsic = activate(F.conv2d(x, layer.primary_conv[0].weight, stride=2, padding=1).numpy() / scale)
    width, radius = intrinsic.shape[1], dw_size // 2
    assert width == -(-8 // ratio)
    weight = layer.cheap_operation[0].weight.numpy()
    padded = np.pad(intrinsic, [(0, 0), (0, 0), (radius, radius), (radius, radius)])
    ghosts = np.zeros((2, width * (ratio - 1), 5, 4))
    for ghost, dy, dx in np.ndindex(ghosts.shape[1], dw_size, dw_size):
        source = padded[:, ghost // (ratio - 1), dy : dy + 5, dx : dx + 4]  # ghosts of one map are neighbours
        ghosts[:, ghost] += weight[ghost, 0, dy, dx] * source
    expected = np.concatenate([intrinsic, activate(ghosts / scale)], 1)[:, :8]
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("out_channels", [1, 5, 7, 8])
def test_any_width(out_channels):
    assert GhostConv2D(6, out_channels, 1)(images()).shape == [2, out_channels, 9, 7]


def test_parameters_of_the_vgg16_comparator():
    """All 13 convolutions of VGG-16 with their BatchNorms, and its head: 7.7 M (SPConv article, table of CIFAR-10)."""
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    count = 512 * 512 + 512 + 512 * 10 + 10
    for width_in, width_out in pairwise(widths):
        layer = GhostConv2D(width_in, width_out)
        count += sum(parameter.size for parameter in layer.parameters() if not parameter.stop_gradient)
    assert count == 7_650_474


def test_saved_graph_equals_the_layer(tmp_path):
    layer = GhostConv2D(6, 7, padding=1)
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "net"), [InputSpec([None, 6, None, None], "float32")])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    x = images((1, 6, 5, 8))
    np.testing.assert_allclose(loaded(x).numpy(), layer(x).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 1}, "ratio must be an integer >= 2 .* got 1"),
        ({"ratio": 2.0}, "ratio must be an integer >= 2"),
        ({"dw_size": 2}, "dw_size must be an odd positive integer, got 2"),
        ({"groups": 4}, "groups=4 must divide in_channels=6"),
        ({"groups": 2, "out_channels": 6}, r"groups=2 must divide the intrinsic maps, .* ceil\(6 / 2\) = 3"),
    ],
)
def test_wrong_options_are_explained(options, message):
    with pytest.raises(ValueError, match=message):
        GhostConv2D(**{"in_channels": 6, "out_channels": 8, **options})
