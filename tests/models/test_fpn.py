"""The feature pyramid: its top-down sum, every slot, odd sizes, dilated levels, cost, tracing."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.layers import UPSAMPLERS
from ppeffconv.models import FPN

from ..oracles import conv2d, random, tensor, to_float64, upsample2

SIZES = [(9, 13), (5, 7), (3, 4)]
WIDTHS = (3, 4, 6)


def maps(widths=WIDTHS, sizes=SIZES, batch=2) -> list[np.ndarray]:
    return [random(batch, width, *size, seed=i) for i, (width, size) in enumerate(zip(widths, sizes))]


def build(**kwargs) -> FPN:
    kwargs = {"in_channels": WIDTHS, "in_strides": (4, 8, 16), "out_channels": 8} | kwargs
    return FPN(**kwargs)


def by_loops(net: FPN, features: list[np.ndarray], strides: tuple[int, ...]) -> list[np.ndarray]:
    """The sums of the article, in numpy."""

    def run(conv, x):
        return conv2d(x, conv.weight.numpy(), conv.bias.numpy(), padding=conv.weight.shape[2] // 2)

    sums = [run(conv, x) for conv, x in zip(net.lateral_convs, features)]
    for i in (1, 0):
        coarse = sums[i + 1]
        sums[i] = sums[i] + (coarse if strides[i] == strides[i + 1] else upsample2(coarse, *sums[i].shape[2:]))
    return [run(conv, x) for conv, x in zip(net.fpn_convs, sums)]


@pytest.mark.parametrize(
    ("strides", "sizes"), [((4, 8, 16), SIZES), ((4, 8, 8), [(9, 13), (5, 7), (5, 7)]), ((8, 8, 8), [(5, 7)] * 3)]
)
def test_nearest_equals_loops_on_odd_and_dilated_levels(strides, sizes):
    net, features = to_float64(build(in_strides=strides, extra_levels=1)), maps(sizes=sizes)
    outputs = net([tensor(x) for x in features])
    expected = by_loops(net, features, strides)
    for y, e in zip(outputs, [*expected, expected[-1][:, :, ::2, ::2]], strict=True):
        np.testing.assert_allclose(y.numpy(), e, rtol=1e-10, atol=1e-10)
    assert net.feature_strides == (*strides, 2 * strides[-1])
    assert net.feature_channels == (8,) * 4


@pytest.mark.parametrize("upsample", UPSAMPLERS.list())
def test_every_upsampling_trains_on_odd_sizes_and_a_batch_of_one(upsample):
    net = build(upsample=upsample, upsample_kwargs={"se_ratio": 2.0} if upsample == "ddf" else {})
    features = [tensor(x.astype("float32"), grad=True) for x in maps(batch=1)]
    outputs = net(features)
    assert [y.shape for y in outputs] == [[1, 8, *size] for size in SIZES]
    sum((y**2).sum() for y in outputs).backward()
    for name, value in [*net.named_parameters(), *enumerate(features)]:
        assert np.isfinite(value.grad.numpy()).all(), name
        assert value.grad.abs().max() > 0, name


@pytest.mark.parametrize("conv", ["sp", "versatile", "learned_versatile", "ddf", "gated", "ghost", "het"])
def test_every_convolution_fits_the_slot(conv):
    net = build(conv=conv)
    assert [y.shape for y in net([tensor(x.astype("float32")) for x in maps()])] == [[2, 8, *size] for size in SIZES]
    assert type(net.fpn_convs[0]) is not type(net.lateral_convs[0])


def test_an_upsampled_map_keeps_its_pixels_in_place():
    """A ramp in the coarse map arrives as the same ramp: cropping, unlike resizing 3 to 5, moves nothing."""
    net = to_float64(build(in_channels=(1, 1), in_strides=(4, 8), out_channels=1, upsample="bilinear"))
    for conv in (*net.lateral_convs, *net.fpn_convs):
        size = conv.weight.shape[2]
        conv.weight.set_value(np.pad(np.ones((1, 1, 1, 1)), ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2)))
    ramp = np.arange(3.0).reshape(1, 1, 1, 3).repeat(3, axis=2)
    fine, _ = net([tensor(np.zeros((1, 1, 5, 5))), tensor(ramp)])
    np.testing.assert_allclose(fine.numpy()[0, 0, 2], [0, 0.25, 0.75, 1.25, 1.75], atol=1e-12)


@pytest.mark.parametrize("upsample", UPSAMPLERS.list())
def test_traced_pyramid_gives_the_same_numbers(upsample, tmp_path):
    class Net(nn.Layer):
        def __init__(self):
            super().__init__()
            options = {"kernel_size": 3} if upsample == "carafe" else {}
            self.neck = FPN((2, 3), (4, 8), 4, upsample=upsample, upsample_kwargs=options)

        def forward(self, fine, coarse):
            return self.neck([fine, coarse])

    net, shapes = Net(), ([2, 13, 9], [3, 7, 5])
    net.eval()
    spec = [paddle.static.InputSpec([None, *shape], "float32") for shape in shapes]
    paddle.jit.save(net, str(tmp_path / "net"), spec)
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for batch in (1, 2):
        x = [paddle.randn([batch, *shape]) for shape in shapes]
        for y, expected in zip(loaded(*x), net(*x), strict=True):
            np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_strides": (4, 8)}, "must name the same levels"),
        ({"in_channels": (), "in_strides": ()}, "must name the same levels"),
        ({"in_strides": (4, 16, 32)}, "the one before it or its double"),
        ({"out_channels": 0}, "must be a positive integer, got 0"),
        ({"extra_levels": 2}, "extra_levels must be 0 or 1, got 2"),
        ({"conv": "oct"}, "maps pairs of groups"),
        ({"upsample": "bilinaer"}, "Did you mean 'bilinear'"),
        ({"upsample": "nearest", "upsample_kwargs": {"mode": "mul"}}, "upsampling 'nearest' has no argument 'mode'"),
    ],
)
def test_wrong_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


def test_wrong_maps_are_explained():
    features = [tensor(x.astype("float32")) for x in maps()]
    with pytest.raises(ValueError, match="expects 3 feature maps, got 2"):
        build()(features[:2])
    for upsample in ("nearest", "bilinear"):
        with pytest.raises(ValueError, match=r"of 2 times its stride, must have \[3, 4\], got \[5, 7\]"):
            build(upsample=upsample)([features[0], features[1], tensor(random(2, 6, 5, 7).astype("float32"))])
