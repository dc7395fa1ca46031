"""The ops of any network in plain Paddle, on [N, C, H, W] maps.

While a graph is traced heights and widths are not known, so hardly a function here asks for them: crops count from the
far side, and an upsampling is a pixel shuffle of repeated channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ..ops import conv2d
from ..ops.primitives import global_mean
from .program import INPUT
from .steps import Step


class Frame:
    """What the steps of a running program see: maps by name, weights by number, the seed, and densities so far."""

    def __init__(self, x: Tensor, weights: Sequence[Tensor], seed: int) -> None:
        self.maps: dict[str, Tensor] = {INPUT: x}
        self.weights, self.seed = weights, seed
        self.densities: list[Tensor] = []

    def map(self, step: Step, key: str = "in") -> Tensor:
        """The map that a key names."""
        return self.maps[step[key]]

    def joined(self, step: Step) -> Tensor:
        """The maps of ``in``, their channels concatenated."""
        names = step["in"]
        return self.maps[names[0]] if len(names) == 1 else paddle.concat([self.maps[name] for name in names], axis=1)

    def weight(self, step: Step, key: str) -> Tensor | None:
        """The weight that a key names, None without one."""
        return None if step[key] is None else self.weights[step[key]]

    def finish(self, y: Tensor, step: Step, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """``act(y * scale + shift + add)``."""
        if scale is not None:
            y = y * scale.reshape([1, -1, 1, 1])
        if shift is not None:
            y = y + shift.reshape([1, -1, 1, 1])
        if step["add"] is not None:
            y = y + self.map(step, "add")
        return activate(y, step["act"])


def activate(x: Tensor, name: str) -> Tensor:
    """An activation by its name in a program."""
    return x if name == "none" else _ACTIVATIONS[name](x)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": F.sigmoid,
    "swish": F.swish,
}


def convolve(step: Step, frame: Frame) -> Tensor:
    """The convolution alone, with its bias."""
    geometry = (step["stride"], step["padding"], step["dilation"], step["groups"])
    return conv2d(frame.joined(step), frame.weight(step, "weight"), frame.weight(step, "bias"), *geometry)


def conv(step: Step, frame: Frame) -> Tensor:
    """``act(conv + bias + up + add)``, 0 where a mask is."""
    y = convolve(step, frame)
    if step["up"] is not None:
        y = y + upsample2(frame.map(step, "up"), y)
    y = frame.finish(y, step)
    return y if step["mask"] is None else y * frame.map(step, "mask")


def pool(step: Step, frame: Frame) -> Tensor:
    """Maximum, or average of what exists of the window."""
    x, geometry = frame.map(step), (step["kernel"], step["stride"], step["padding"])
    if step["kind"] == "max":
        return F.max_pool2d(x, *geometry, ceil_mode=bool(step["ceil"]))
    return F.avg_pool2d(x, *geometry, ceil_mode=bool(step["ceil"]), exclusive=True)


def adaptive(step: Step, frame: Frame) -> Tensor:
    """Average over a grid of regions."""
    return F.adaptive_avg_pool2d(frame.map(step), step["size"])


def mean(step: Step, frame: Frame) -> Tensor:
    """Average over all positions."""
    return global_mean(frame.map(step))


def upsample(step: Step, frame: Frame) -> Tensor:
    """Nearest x2, cropped to the size of ``like``."""
    return upsample2(frame.map(step), None if step["like"] is None else frame.map(step, "like"))


def upsample2(low: Tensor, like: Tensor | None) -> Tensor:
    """Repeat each pixel 2 x 2, and crop to the size of ``like``."""
    full = F.pixel_shuffle(repeat_channels(low, 4), 2)
    if like is None:
        return full
    height, width = paddle.shape(like)[2], paddle.shape(like)[3]
    return full[:, :, :height, :width]


def repeat_channels(x: Tensor, times: int) -> Tensor:
    """Each channel ``times`` times in a row."""
    return pick_channels(x, [channel for channel in range(x.shape[1]) for _ in range(times)])


def pick_channels(x: Tensor, order: list[int]) -> Tensor:
    """Channels in another order."""
    return paddle.index_select(x, paddle.to_tensor(order), axis=1)


def resize(step: Step, frame: Frame) -> Tensor:
    """Bilinear, by a factor."""
    x, scale = frame.map(step), step["scale"]
    # by a tensor: times a number would be in single precision, and round to another size now and then
    factor = paddle.full([], scale, "float64")
    sizes = [(paddle.shape(x)[axis].astype("float64") * factor).astype("int64") for axis in (2, 3)]
    return bilinear(x, sizes, (scale, scale))


def bilinear(x: Tensor, sizes: Sequence[Tensor], scales: Sequence[float | Tensor]) -> Tensor:
    """Half-pixel centres: two products, because Paddle Inference with oneDNN cannot run F.interpolate.

    Args:
        sizes: height and width of the result; scales: what they are of those of ``x``, as far as it is rounded.
    """
    rows, columns = (_shares(paddle.shape(x)[axis], new, scale) for axis, new, scale in zip((2, 3), sizes, scales))
    return paddle.matmul(rows, paddle.matmul(x, columns.transpose([1, 0])))


def _shares(size: Tensor, new: Tensor, scale: float | Tensor) -> Tensor:
    """[new, size] matrix of the weights of F.interpolate along one axis."""
    centres = (paddle.arange(new, dtype="int64").astype("float32") + 0.5) / scale - 0.5
    centres = paddle.minimum(F.relu(centres), size.astype("float32") - 1)
    distance = centres.unsqueeze(1) - paddle.arange(size, dtype="int64").astype("float32").unsqueeze(0)
    return F.relu(1 - distance.abs())


def concat(step: Step, frame: Frame) -> Tensor:
    """Maps side by side."""
    return frame.joined(step)


def slice_channels(step: Step, frame: Frame) -> Tensor:
    """A range of channels."""
    return frame.map(step)[:, step["first"] : step["first"] + step["count"]]


def add(step: Step, frame: Frame) -> Tensor:
    """A sum of two maps."""
    a, b = (frame.maps[name] for name in step["in"])
    return activate(a + b, step["act"])


def mul(step: Step, frame: Frame) -> Tensor:
    """A product; the second map may have one channel or one position."""
    a, b = (frame.maps[name] for name in step["in"])
    return activate(a * b, step["act"])


def affine(step: Step, frame: Frame) -> Tensor:
    """A batch norm that nothing could take."""
    return frame.finish(frame.map(step), step, frame.weight(step, "scale"), frame.weight(step, "shift"))


def act(step: Step, frame: Frame) -> Tensor:
    """An activation that nothing could take."""
    return activate(frame.map(step), step["act"])
