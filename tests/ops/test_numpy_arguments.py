"""Every op takes the integers of NumPy where it takes Python's."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv import ops
from ppeffconv.ops.sample_interpolate import kernel_interpolate

ONE, TWO, THREE = (np.int64(1), np.int32(2), np.uint8(3))


def normal(*shape: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(sum(shape)).standard_normal(shape).astype("float32"))


X, MASK = normal(2, 4, 6, 5), (normal(2, 1, 6, 5) > 0).astype("float32")


def fresh_norm() -> tuple[paddle.Tensor, ...]:
    return paddle.zeros([4]), paddle.ones([4]), paddle.ones([4]), paddle.zeros([4])


CALLS = {
    "conv2d": lambda i: ops.conv2d(X, normal(4, 2, 3, 3), None, i(TWO), (i(ONE), i(TWO)), i(ONE), i(TWO)),
    "depthwise conv2d": lambda i: ops.conv2d(X, normal(4, 1, 3, 3), padding=i(ONE), groups=i(TWO) * i(TWO)),
    "nested_conv2d": lambda i: ops.nested_conv2d(X, normal(4, 2, 3, 3), i(ONE), i(TWO), i(TWO), i(TWO)),
    "sampled_conv2d": lambda i: ops.sampled_conv2d(X, normal(4, 4, 3, 3), MASK, None, i(ONE), [i(ONE), i(ONE)]),
    "ddf": lambda i: ops.ddf(X, normal(2, 4, 9), normal(2, 9, 3, 3), i(THREE), i(TWO), i(ONE)),
    "filter_norm": lambda i: ops.filter_norm(normal(2, 4, 9), i(TWO), scale=np.float32(2), eps=np.float64(1e-10)),
    "scaled filter_norm": lambda i: ops.filter_norm(normal(2, 4, 9), -i(ONE), scale=normal(4, 9)),
    "octave_upsample": lambda i: ops.octave_upsample(normal(2, 4, 1, 2), (i(TWO), i(THREE))),
    "sample_interpolate": lambda i: ops.sample_interpolate(X, MASK, paddle.ones([1]), i(THREE)),
    "batch_norm": lambda i: ops.batch_norm(X, *fresh_norm(), None, False, True, np.float32(0.5), np.float64(1e-5)),
    "blend": lambda i: ops.blend(X, X * X, fresh_norm(), fresh_norm(), True, np.float32(0.5), np.float16(1e-3)),
    "average": lambda i: kernel_interpolate(X, MASK, None, i(THREE)),
}


@pytest.mark.parametrize("mode", ["auto", "reference"])
@pytest.mark.parametrize("name", CALLS)
@paddle.no_grad()
def test_integers_of_numpy_do_what_pythons_do(name, mode, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_OPS", mode)
    np.testing.assert_array_equal(CALLS[name](lambda value: value).numpy(), CALLS[name](int).numpy())


@pytest.mark.parametrize("mode", ["auto", "reference"])
def test_a_truth_is_no_integer(mode, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_OPS", mode)
    for arguments in ({"stride": True}, {"padding": (0, np.bool_(True))}, {"groups": True}):
        with pytest.raises(ValueError, match="integer"):
            ops.conv2d(X, normal(4, 4, 3, 3), **arguments)
