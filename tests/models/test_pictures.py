"""Pictures of what networks do to an image."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv import create_model, layers
from ppeffconv.models.pictures import choose, feature_maps, pictures


@pytest.fixture
def x():
    return paddle.randn([2, 3, 16, 16])


def test_octave_groups_and_masks(x):
    octave = pictures(create_model("oct_resnet20"), x)
    assert octave["layer1.0.conv1/high"].shape == (16, 16)
    assert octave["layer1.0.conv1/low"].shape == (8, 8)
    net = create_model("sampled_resnet20")
    sampled = pictures(net, x)
    assert sampled["layer2.0.conv1_gumbel/mask"].shape == (8, 8)
    assert net.training
    assert pictures(create_model("resnet20"), x) == {}


def test_interpolation_fills_what_the_mask_leaves_out(x):
    """At the sampled positions both pictures are the features, elsewhere the one is 0 and the other is not."""
    block = layers.SampledBasicBlock(3, 4, eval_mode="hard")
    block.conv1_mask.bias.set_value(paddle.zeros([1]))  # half of the positions
    found = pictures(paddle.nn.Sequential(block), x)
    mask, sampled, filled = (found[f"0{name}"] for name in (".conv1_gumbel/mask", "/sampled", "/interpolated"))
    block.eval()
    features = paddle.nn.functional.relu(block.bn1(block.conv1(x[:1])))[0].mean(0).numpy()
    kept = mask == 1
    assert 0.2 < kept.mean() < 0.8
    np.testing.assert_allclose(sampled[kept] / sampled.max(), features[kept] / features[kept].max(), rtol=1e-2)
    np.testing.assert_array_equal(sampled, filled * kept)
    assert filled[~kept].mean() > 0.1


KINDS = {
    "oct": {"high", "low"},
    "sp": {"representative", "redundant", "weights"},
    "sampled": {"mask", "sampled", "interpolated"},
    "ddf": {"spatial", "channel"},
    "versatile": {"filters"},
    "learned_versatile": {"kept"},
    "gated": {"gate"},
    "ghost": {"intrinsic", "ghosts"},
    "het": {"grouped", "pointwise"},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_method_has_its_kinds_between_0_and_1(name, x):
    found = pictures(create_model(f"{name}_resnet20"), x)
    assert {key.rpartition("/")[2] for key in found} == KINDS[name]
    for picture in found.values():
        assert picture.ndim == 2
        assert 0 <= picture.min() <= picture.max() <= 1


def test_parts_of_a_split_convolution(x):
    """Without redundant channels' weights the output is what the representative part gives, times its weights."""
    layer = layers.SPConv2D(3, 5, stride=2)
    layer.conv1x1.weight.set_value(paddle.zeros_like(layer.conv1x1.weight))
    layer.conv1x1.bias.set_value(paddle.zeros_like(layer.conv1x1.bias))
    found = pictures(paddle.nn.Sequential(layer), x)
    layer.eval()
    energy = layer(x[:1])[0].abs().mean(0).numpy()
    np.testing.assert_allclose(found["0/representative"], energy / energy.max(), rtol=1e-5)
    np.testing.assert_array_equal(found["0/redundant"], np.zeros((8, 8)))
    assert found["0/weights"].shape == (2, 3)  # five channels and an empty place
    assert found["0/weights"][-1, -1] == 0
    assert ((found["0/weights"].ravel()[:5] > 0) & (found["0/weights"].ravel()[:5] < 1)).all()


def test_two_parts_are_on_one_scale(x):
    ghost = layers.GhostConv2D(3, 4, 3, padding=1)
    found = pictures(paddle.nn.Sequential(ghost), x)
    ghost.eval()
    halves = [half[0].abs().mean(0).numpy() for half in paddle.split(ghost(x[:1]), 2, axis=1)]
    largest = max(half.max() for half in halves)
    for label, half in zip(("intrinsic", "ghosts"), halves):
        np.testing.assert_allclose(found[f"0/{label}"], half / largest, rtol=1e-5)


def test_upsamplers(x):
    for layer, taps in ((layers.CARAFEUpsample2D(3), 5), (layers.DDFUpsample2D(3), 3)):
        assert pictures(paddle.nn.Sequential(layer), x)["0/spatial"].shape == (16 * taps, 16 * taps)


def test_features_of_any_network(x):
    net = create_model("resnet20")
    found = feature_maps(net, x)
    assert found["layer3.2.conv2/features"].shape == (4, 4)
    assert all(0 <= picture.min() <= picture.max() == 1 for picture in found.values())
    assert net.training
    assert feature_maps(paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Linear(768, 2)), x) == {}


def test_dynamic_filters_are_tiles_of_what_the_layer_predicts(x):
    layer = layers.DDF2D(3)
    net = paddle.nn.Sequential(layer)
    found = pictures(net, x)
    spatial, channel = layer.spatial_branch(x)[0].numpy(), layer.channel_branch(x)[0].reshape([3, 3, 3]).numpy()
    assert found["0/spatial"].shape == (48, 48)
    assert found["0/channel"].shape == (8, 8)  # a square of four tiles, of which one is empty, and what is between
    scaled = 0.5 + 0.5 * spatial / np.abs(spatial).max()
    np.testing.assert_allclose(found["0/spatial"][16:32, 32:48], scaled[5], rtol=1e-5)  # row 1, column 2
    scaled = 0.5 + 0.5 * channel / np.abs(channel).max()
    np.testing.assert_allclose(found["0/channel"][4:7, :3], scaled[2], rtol=1e-5)
    np.testing.assert_array_equal(found["0/channel"][4:, 4:], 0.5)


def test_nested_filters_are_centres_of_the_stored_ones(x):
    layer = layers.VersatileConv2D(3, 4, 3, padding=1)  # two stored filters and their centres
    tiles = pictures(paddle.nn.Sequential(layer), x)["0/filters"]
    energy = np.sqrt(np.square(layer.weight.numpy()).mean(1))
    apart = np.pad(energy / energy.max(), ((0, 0), (0, 1), (0, 1)))
    np.testing.assert_allclose(tiles[:4], np.concatenate([*apart], axis=1), rtol=1e-5)
    centres = np.zeros((4, 8), np.float32)
    centres[1, [1, 5]] = energy[:, 1, 1] / energy.max()
    np.testing.assert_allclose(tiles[4:], centres, rtol=1e-5)


def test_learned_masks_are_shares_of_what_they_keep(x):
    layer = layers.LearnedVersatileConv2D(3, 4, 3, padding=1, s=2)
    net = paddle.nn.Sequential(layer)
    kept = pictures(net, x)["0/kept"]
    layer.eval()
    masks = layer.masks().reshape([4, 3, 3, 3]).numpy() > 0
    np.testing.assert_allclose(kept[:3, 4:7], masks[1].mean(0), rtol=1e-6)


def test_first_middle_and_last_of_each_kind():
    names = [f"{layer}/{kind}" for layer in "abcde" for kind in ("high", "low")]
    assert choose(names) == ["a/high", "c/high", "e/high", "a/low", "c/low", "e/low"]
    assert choose(["a/mask", "b/mask"]) == ["a/mask", "b/mask"]
    assert choose(["depth"]) == ["depth"]
