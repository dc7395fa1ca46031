"""The ops of stochastic sampling in plain Paddle: hard masks with reproducible noise, and interpolation."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..ops import conv2d
from ..ops.reference_sampling import EPS
from .reference_basic import Frame
from .steps import Step

WORD = 0xFFFFFFFF


def mask(step: Step, frame: Frame) -> Tensor:
    """1 where a position is computed; its density goes into the frame."""
    geometry = (step["stride"], step["padding"], step["dilation"])
    logit = conv2d(frame.map(step), frame.weight(step, "weight"), frame.weight(step, "bias"), *geometry)
    height, width = paddle.shape(logit)[2], paddle.shape(logit)[3]
    if step["noise"]:
        kept = (noise(height, width, step["stream"], frame.seed) < F.sigmoid(logit)).astype(logit.dtype)
    else:
        kept = (logit >= 0).astype(logit.dtype)
    if step["grid"]:
        on_row, on_column = (paddle.arange(side) % step["grid"] == 0 for side in (height, width))
        grid = paddle.logical_and(on_row.unsqueeze(1), on_column.unsqueeze(0))
        kept = paddle.maximum(kept, grid.astype(kept.dtype))
    frame.densities.append(kept.mean())
    return kept


def noise(height: int | Tensor, width: int | Tensor, stream: int, seed: int) -> Tensor:
    """Uniform numbers in (0, 1), [height, width]: lowbias32 of the position, the mask's number and the seed.

    ``u = ((h >> 8) + 0.5) / 2^24``, ``h = lowbias32(y * width + x + 0x9E3779B9 (stream + 1) + 0x85EBCA6B seed)``, all
    modulo 2^32: the same for every image of a batch, so that an image's result does not depend on its neighbours.
    """
    rows, columns = paddle.arange(height, dtype="int64"), paddle.arange(width, dtype="int64")
    offset = (0x9E3779B9 * (stream + 1) + 0x85EBCA6B * seed) & WORD
    v = _low(rows.unsqueeze(1) * width + columns.unsqueeze(0) + _word(offset))
    v = _low(_mix(v, 16) * _word(0x7FEB352D))
    v = _low(_mix(v, 15) * _word(0x846CA68B))
    return (_shift(_mix(v, 16), 8).astype("float32") + 0.5) * 2.0**-24


def _word(value: int) -> Tensor:
    """A tensor, because Paddle multiplies by a Python number in single precision."""
    return paddle.full([1], value, dtype="int64")


def _low(v: Tensor) -> Tensor:
    return paddle.bitwise_and(v, _word(WORD))


def _mix(v: Tensor, shift: int) -> Tensor:
    return paddle.bitwise_xor(v, _shift(v, shift))


def _shift(v: Tensor, shift: int) -> Tensor:
    """v >> shift, of a word and for shift >= 8. The bits that go are cleared first: paddle2onnx divides in single
    precision, which then is exact.
    """
    return paddle.bitwise_and(v, _word(WORD - 2**shift + 1)) // _word(2**shift)


def fill(step: Step, frame: Frame) -> Tensor:
    """``act(M F + (1 - M) sum_q T M F / (sum_q T M + eps) + shift + add)`` with the table T over a window; T[i, j]
    weighs ``q = p + (i, j) - window // 2``. Without a table unsampled positions are 0.
    """
    kept = frame.map(step, "mask")
    features = frame.map(step) * kept
    if step["table"] is not None:
        table = frame.weight(step, "table").unsqueeze(0).unsqueeze(0)
        share = (1 - kept) / (_neighbours(kept, table) + EPS)
        features = features + _neighbours(features, table) * share
    return frame.finish(features, step, shift=frame.weight(step, "shift"))


def _neighbours(x: Tensor, table: Tensor) -> Tensor:
    """Sum over the window, weighted by the table."""
    count, sides = x.shape[1], table.shape[2:]
    return conv2d(x, table.expand([count, 1, *sides]), padding=[side // 2 for side in sides], groups=count)
