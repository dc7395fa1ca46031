"""DDF-Up-Net: its layout by loops, its units, odd sizes, cost and deploy form."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

import ppeffconv
from ppeffconv.models import JointUpNet
from ppeffconv.models.depth_upsampler import split_input

from ..oracles import conv2d, random, tensor

NAMES = ("ddf_up_net", "plain_up_net")


def build(name="ddf_up_net", **kwargs) -> JointUpNet:
    net = ppeffconv.create_model(name, **{"channels": 8, "guide_channels": 4} | kwargs)
    net.eval()
    return net


def image(height, width, scale, batch=1, seed=0) -> np.ndarray:
    """An input of the network, made block by block."""
    rng = np.random.default_rng(seed)
    x = rng.random((batch, 4, height, width)).astype(np.float32)
    low = 1 + 3 * rng.random((batch, -(-height // scale), -(-width // scale))).astype(np.float32)
    for row in range(height):
        for column in range(width):
            x[:, 3, row, column] = low[:, row // scale, column // scale]
    return x


def run(convs, x):
    """5x5 convolutions in numpy, with a ReLU between them."""
    for i, conv in enumerate(convs):
        x = conv2d(x, conv.weight.numpy(), conv.bias.numpy(), padding=2)
        x = np.maximum(x, 0) if i < len(convs) - 1 else x
    return x


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [4, 8])
def test_layout(name, scale):
    net = build(name, scale=scale)
    x = image(16, 24, scale)
    low = x[:, 3:, ::scale, ::scale]
    nearest, farthest = low.min(), low.max()
    features = run(net.depth_encoder[::2], (low - nearest) / (farthest - nearest))
    guide = run(net.guide_encoder[::2], x[:, :3])
    for step, join in enumerate(net.joins):
        part = guide[:, 4 * step : 4 * step + 4]
        shrink = scale >> step
        # bilinear without aligned corners, by an even factor: the mean of the four pixels around the centre
        corner = shrink // 2 - 1
        part = sum(part[:, :, corner + i :: shrink, corner + j :: shrink] for i in (0, 1) for j in (0, 1)) / 4
        assert part.shape[2:] == features.shape[2:]
        features = np.maximum(join(tensor(features.astype("float32")), tensor(part.astype("float32"))).numpy(), 0)
    expected = run(net.decoder[::2], features) * (farthest - nearest) + nearest
    np.testing.assert_allclose(net(tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("scale", "height", "width"), [(2, 7, 5), (4, 61, 83), (8, 9, 31), (16, 33, 17), (4, 3, 3)])
def test_any_size(name, scale, height, width):
    net = build(name, scale=scale)
    x = image(height, width, scale, batch=2)
    y = net(tensor(x))
    assert y.shape == [2, 1, height, width]
    # what is beyond the image is the image's border, and the images of a batch do not meet
    bottom, right = -height % scale, -width % scale
    padded = np.pad(x, ((0, 0), (0, 0), (0, bottom), (0, right)), mode="edge")
    whole = net(tensor(padded[1:]))
    np.testing.assert_allclose(y[1:].numpy(), whole[:, :, :height, :width].numpy(), rtol=1e-4, atol=1e-5)


def test_the_unit_of_the_depth_does_not_matter():
    net = build()
    x = image(20, 24, 4)
    y = net(tensor(x)).numpy()
    x[:, 3] = 100 * x[:, 3] - 30
    np.testing.assert_allclose(net(tensor(x)).numpy(), 100 * y - 30, rtol=1e-4)


def test_only_one_depth_of_each_block_is_read():
    net, x = build(), image(20, 24, 4)
    changed = x.copy()
    changed[:, 3, 1::4] = 7
    changed[:, 3, :, 1::4] = 7
    np.testing.assert_array_equal(net(tensor(x)).numpy(), net(tensor(changed)).numpy())


def test_an_even_depth_stays_finite():
    x = image(8, 8, 4)
    x[:, 3] = 2.0
    net = build()
    x = tensor(x)
    loss = net(x).mean()
    loss.backward()
    assert np.isfinite(float(loss))
    assert all(np.isfinite(p.grad.numpy()).all() for p in net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name):
    net = build(name, scale=8, channels=32)  # narrow ones have a single hidden unit, which a ReLU may shut
    (net(tensor(image(16, 24, 8, batch=2))) ** 2).mean().backward()
    assert [n for n, p in net.named_parameters() if not np.abs(p.grad.numpy()).max() > 0] == []


@pytest.mark.parametrize("scale", [4, 16])
def test_parameters_and_multiply_adds(scale):
    steps = {4: 2, 16: 4}[scale]
    pixels, low = 48 * 80, 48 * 80 // scale**2
    encoders = [(1, 32), (32, 32), (32, 32)], [(3, 32), (32, 32), (32, 16 * steps)]
    decoder = [(32, 32), (32, 1)]
    macs = 25 * (low * sum(i * o for i, o in encoders[0]) + pixels * sum(i * o for i, o in encoders[1] + decoder))
    params = sum(25 * i * o + o for i, o in encoders[0] + encoders[1] + decoder)
    hidden = 6  # a fifth of 32
    for step in range(steps):
        here = low * 4**step
        macs += 4 * (here * 9 * (16 + 32) + 32 * hidden + hidden * 32 * 9)  # predict and filter; the channel branch
        params += 4 * (16 * 9 + 9 + 32 * hidden + hidden + hidden * 288 + 288 + 288)
    profile = ppeffconv.profile(ppeffconv.create_model("ddf_up_net", scale=scale), (4, 48, 80))
    assert (profile.params, profile.macs) == (params, macs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (27, 45)])
def test_deploy(name, height, width):
    net = build(name)
    x = tensor(image(height, width, 4))
    expected = net(x).numpy()
    np.testing.assert_allclose(ppeffconv.deploy(net)(x).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_two_arguments():
    net = build()
    x = tensor(image(21, 22, 4))
    depth, guide = split_input(x, 4)
    assert depth.shape == [1, 1, 6, 6]
    np.testing.assert_array_equal(net.upsample(depth, guide).numpy(), net(x).numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 3}, "scale must be one of 2, 4, 8, 16, got 3"),
        ({"mode": "max"}, "mode must be"),
        ({"sclae": 4}, "Did you mean 'scale'"),
        ({"channels": 0}, "positive integer"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.create_model("ddf_up_net", **arguments)


def test_unknown_join():
    with pytest.raises(ValueError, match="join must be one of ddf, plain"):
        JointUpNet(join="sum")


def test_inputs_of_another_shape():
    net = build()
    with pytest.raises(ValueError, match=r"JointUpNet expects input \[N, 4, H, W\]"):
        net(tensor(random(1, 3, 8, 8)))
    with pytest.raises(ValueError, match="a guide of 8x9 needs a depth map of 2x3 for scale 4, got 2x2"):
        net.upsample(tensor(random(1, 1, 2, 2)), tensor(random(1, 3, 8, 9)))


def test_it_learns_what_bilinear_cannot_know():
    """One image by heart: the guide's edge tells where the step of the depth is."""
    paddle.seed(3)
    net = ppeffconv.create_model("ddf_up_net", scale=4, channels=8, guide_channels=4)
    depth = np.ones((1, 1, 32, 32), np.float32)
    depth[..., 13:] = 2
    x = np.empty((1, 4, 32, 32), np.float32)
    x[:, :3] = depth - 1
    x[:, 3:] = np.repeat(np.repeat(depth[..., 1::4, 1::4], 4, 2), 4, 3)
    target, x = tensor(depth), tensor(x)
    bilinear = F.interpolate(x[:, 3:, ::4, ::4], [32, 32], mode="bilinear", align_corners=False)
    optimizer = paddle.optimizer.Adam(5e-3, parameters=net.parameters())
    for _ in range(120):
        loss = ((net(x) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    assert float(loss) < 0.25 * float(((bilinear - target) ** 2).mean())
