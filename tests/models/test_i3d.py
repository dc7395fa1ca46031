"""The video networks."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv


@pytest.mark.parametrize("name", ["i3d50", "oct_i3d50"])
def test_trains_on_odd_frames(name):
    net = ppeffconv.create_model(name, num_classes=3, in_channels=1)
    y = net(paddle.randn([1, 1, 3, 35, 33]))
    assert y.shape == [1, 3]
    y.square().sum().backward()
    assert [n for n, p in net.named_parameters() if not p.stop_gradient and p.grad is None] == []
    assert net.auxiliary_losses() == {}


def test_c2d_sees_frames_one_by_one():
    """Of a still clip, as many frames as one likes give the same logits; with I3D the borders in time are seen."""
    x = paddle.randn([1, 3, 1, 33, 35])
    for name, still in (("oct_c2d50", True), ("i3d50", False)):
        net = ppeffconv.create_model(name, num_classes=4)
        net.eval()
        with paddle.no_grad():
            two, six = (net(x.expand([-1, -1, frames, -1, -1])).numpy() for frames in (2, 6))
        assert np.allclose(two, six, rtol=1e-4, atol=1e-5 * two.std()) == still


def test_what_is_no_video():
    net = ppeffconv.create_model("c2d50", num_classes=2)
    for shape in ((1, 3, 33, 33), (1, 1, 4, 33, 33), (1, 3, 1, 33, 33)):
        with pytest.raises(ValueError, match="at least two frames"):
            net(paddle.randn(shape))


def test_alpha():
    with pytest.raises(ValueError, match=r"alpha in \[0, 1\)"):
        ppeffconv.create_model("oct_i3d50", alpha=1.0)
