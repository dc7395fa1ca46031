"""Single operations in Paddle, by our kernels or by its own; each knows the least bytes and multiply-adds it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from ppeffconv import ops
from ppeffconv.ops import loader

from .peers.serve import Job

Shape = list[int]


def _job(work: Callable[[], Any], moved: list[Tensor], macs: float, **facts: Any) -> Job:
    """A job without gradients; ``moved`` are the tensors that it must read and write at least once."""
    facts |= {"version": f"Paddle {paddle.version.full_version}", "macs": macs}
    facts["bytes"] = sum(tensor.size * tensor.element_size() for tensor in moved)
    if loader.mode() != "reference":
        facts["kernels"] = sorted(loader.library().ops)

    def step() -> Any:
        with paddle.no_grad():
            return work()

    return Job(step, lambda: facts)


def _missing(op: str) -> Job:
    return Job(lambda: None, lambda: {"missing": f"ops.{op}"})


def _megabytes(tensor: Tensor) -> float:
    return tensor.size * tensor.element_size() / 1e6


def _filters(shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    batch, channels, *size = shape
    return paddle.randn(shape), paddle.randn([batch, channels, 9]), paddle.randn([batch, 9, *size])


def ddf(shape: Shape) -> Job:
    """DDF, 3x3."""
    x, channel, spatial = _filters(shape)
    sizes = {"input_mb": _megabytes(x), "output_mb": _megabytes(x)}
    return _job(lambda: ops.ddf(x, channel, spatial), [x, x, channel, spatial], 9 * x.size, **sizes)


def ddf_unfold(shape: Shape) -> Job:
    """DDF as its authors write it without a kernel: all windows side by side, times the filters."""
    x, channel, spatial = _filters(shape)
    batch, channels, height, width = shape

    def work() -> Tensor:
        windows = F.unfold(x, 3, paddings=1).reshape([batch, channels, 9, height, width])
        return (windows * channel.reshape([batch, channels, 9, 1, 1]) * spatial.unsqueeze(1)).sum(2)

    return _job(work, [x, x, channel, spatial], 9 * x.size)


class _Seed(paddle.autograd.PyLayer):
    """Starts a backward pass from a given gradient: one that is handed to `paddle.grad` itself is copied first, which
    is not the work of the op that is measured.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, gradient: Callable[[], Tensor]) -> Tensor:
        ctx.gradient = gradient
        return paddle.zeros([1])

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> Tensor:
        return ctx.gradient()


def ddf_backward(shape: Shape) -> Job:
    """All three gradients of DDF."""
    inputs = _filters(shape)
    for tensor in inputs:
        tensor.stop_gradient = False
    dy = paddle.randn(shape)
    seed = _Seed.apply(ops.ddf(*inputs), lambda: dy)

    def gradients() -> list[Tensor]:
        return paddle.grad([seed], inputs, retain_graph=True)

    first, second = ([gradient.numpy() for gradient in gradients()] for _ in range(2))
    same = all((a == b).all() for a, b in zip(first, second))
    # read x, dy and the filters, write three gradients; two products per tap, and one for the channel filters
    job = _job(list, [inputs[0], dy, *inputs[1:], *inputs], 27 * dy.size, deterministic=bool(same))
    return Job(gradients, job.facts)


def interpolate(shape: Shape, density: float) -> Job:
    """Filling in the unsampled positions, with a hard mask as in inference; window 7, sigma 3."""
    x, sigma = paddle.randn(shape), paddle.to_tensor([3.0])
    mask = _mask(shape, density)
    return _job(lambda: ops.sample_interpolate(x, mask, sigma, 7), [x, x, mask], 0)


def _mask(shape: Shape, density: float) -> Tensor:
    return (paddle.rand([shape[0], 1, *shape[2:]]) < density).astype("float32")


def convolution(shape: Shape, outputs: int, kernel_size: int, groups: int = 1) -> Job:
    """An ordinary convolution by oneDNN."""
    x, weight = paddle.randn(shape), paddle.randn([outputs, shape[1] // groups, kernel_size, kernel_size])
    pad = kernel_size // 2
    written = paddle.empty([shape[0], outputs, *shape[2:]])
    macs = x.size * outputs * kernel_size**2 // groups
    return _job(lambda: ops.conv2d(x, weight, None, 1, pad, 1, groups), [x, weight, written], macs)


def sampled_convolution(shape: Shape, outputs: int, density: float) -> Job:
    """A 3x3 convolution at the sampled positions."""
    if not hasattr(ops, "sampled_conv2d"):
        return _missing("sampled_conv2d")
    x, weight, mask = paddle.randn(shape), paddle.randn([outputs, shape[1], 3, 3]), _mask(shape, density)
    written = paddle.empty([shape[0], outputs, *shape[2:]])
    macs = float(mask.mean()) * 9 * x.size * outputs
    return _job(lambda: ops.sampled_conv2d(x, weight, mask, padding=1), [x, weight, mask, written], macs)


def nested_convolution(shape: Shape, stored: int, kernel_size: int) -> Job:
    """Versatile filters: all centre crops of each stored kernel at once."""
    if not hasattr(ops, "nested_conv2d"):
        return _missing("nested_conv2d")
    x, weight = paddle.randn(shape), paddle.randn([stored, shape[1], kernel_size, kernel_size])
    written = paddle.empty([shape[0], stored * ((kernel_size + 1) // 2), *shape[2:]])
    macs = x.size * stored * kernel_size**2
    return _job(lambda: ops.nested_conv2d(x, weight, padding=kernel_size // 2), [x, weight, written], macs)


def octave_pool(shape: Shape) -> Job:
    """Average pooling by 2."""
    if not hasattr(ops, "octave_pool"):
        return _missing("octave_pool")
    x = paddle.randn(shape)
    return _job(lambda: ops.octave_pool(x), [x, x[:, :, ::2, ::2]], 0)


def octave_upsample_add(shape: Shape) -> Job:
    """Nearest upsampling by 2, added to the high group."""
    if not hasattr(ops, "octave_upsample_add"):
        return _missing("octave_upsample_add")
    high, low = paddle.randn(shape), paddle.randn([*shape[:2], *(side // 2 for side in shape[2:])])
    return _job(lambda: ops.octave_upsample_add(high, low), [high, high, low], 0)


JOBS = {
    "ddf": ddf,
    "ddf_unfold": ddf_unfold,
    "ddf_backward": ddf_backward,
    "interpolate": interpolate,
    "convolution": convolution,
    "sampled_convolution": sampled_convolution,
    "nested_convolution": nested_convolution,
    "octave_pool": octave_pool,
    "octave_upsample_add": octave_upsample_add,
}
