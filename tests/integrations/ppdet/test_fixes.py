"""The corrections: right where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.vision import ops
from PIL import ImageFile

from ppeffconv.integrations.ppdet import register
from ppeffconv.integrations.ppdet.fixes import roi_align

POINTS = [[2.0, 2, 2, 2], [2, 2, 2, 5], [9, 3, 1, 3]]  # no area: a point, a line, and turned around


def test_the_users_own_paddle_is_untouched():
    from ppdet.modeling.heads import roi_extractor

    assert roi_extractor.paddle is not paddle
    assert roi_extractor.paddle.vision.ops.roi_align is roi_align
    for function in (paddle.concat, paddle.add_n, paddle.save, ops.roi_align):
        assert not function.__module__.startswith("ppeffconv")
    assert paddle.vision.ops.roi_align is ops.roi_align
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_registering_again_changes_nothing():
    from ppdet.data.transform.operators import Decode
    from ppdet.modeling.architectures.meta_arch import BaseArch
    from ppdet.modeling.heads import roi_extractor

    before = roi_extractor.paddle, Decode.apply, BaseArch.forward
    register()
    assert before == (roi_extractor.paddle, Decode.apply, BaseArch.forward)


@pytest.mark.parametrize("sampling_ratio", [0, -1])
def test_a_box_without_area_is_a_point(sampling_ratio):
    x = paddle.rand([1, 2, 8, 8])
    x.stop_gradient = False
    boxes, number = paddle.to_tensor(POINTS[:1]), paddle.to_tensor([1], dtype="int32")
    assert np.isnan(ops.roi_align(x, boxes, number, 7, 0.5, sampling_ratio).numpy()).all()
    got = roi_align(x, boxes, number, 7, 0.5, sampling_ratio)
    # x = 2 of stride 2 is 1.0, half a pixel before which lies 0.5: between the first two pixels
    expected = x[0, :, :2, :2].mean(axis=[1, 2]).numpy()
    np.testing.assert_allclose(got.numpy(), np.broadcast_to(expected[None, :, None, None], [1, 2, 7, 7]), rtol=1e-3)
    got.sum().backward()
    assert float(x.grad.sum()) == pytest.approx(2 * 49, rel=1e-5)


def test_other_boxes_are_as_before():
    x, number = paddle.rand([1, 3, 16, 16]), paddle.to_tensor([2], dtype="int32")
    boxes = paddle.to_tensor([[0.3, 1.7, 9.1, 14.2], [3.0, 3.0, 4.0, 4.5]])
    for sampling_ratio in (0, 2):
        for aligned in (False, True):
            settings = 7, 0.5, sampling_ratio, aligned
            got, expected = (f(x, boxes, number, *settings).numpy() for f in (roi_align, ops.roi_align))
            np.testing.assert_array_equal(got, expected)


def test_no_boxes():
    got = roi_align(paddle.rand([1, 3, 8, 8]), paddle.zeros([0, 4]), paddle.to_tensor([0], dtype="int32"), 7)
    assert got.shape == [0, 3, 7, 7]


@pytest.mark.parametrize("levels", [1, 4])
def test_the_stock_extractor_gives_finite_gradients(levels):
    from ppdet.modeling.heads.bbox_head import TwoFCHead
    from ppdet.modeling.heads.roi_extractor import RoIAlign

    scales = [0.25, 0.125, 0.0625, 0.03125][:levels]
    extract = RoIAlign(resolution=7, spatial_scale=scales, sampling_ratio=0, aligned=True, end_level=levels - 1)
    head = TwoFCHead(in_channel=4, out_channel=8)
    maps = [paddle.rand([1, 4, round(64 * scale), round(64 * scale)]) for scale in scales]
    boxes = paddle.to_tensor([*POINTS, [4.0, 4, 40, 40]])
    head(extract(maps, [boxes], paddle.to_tensor([4], dtype="int32"))).sum().backward()
    gradient = head.fc6.weight.grad.numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).sum() > 0


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    from ppdet.data.transform.operators import Decode

    path = tmp_path / "text.png"
    path.write_text("not an image")
    with pytest.raises(ValueError, match=r"cannot read image .*text.png"):
        Decode()({"im_file": str(path)})
