"""`nested_conv2d`: the convolutions of kernels and of their centre crops, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from paddle import Tensor
from paddle.jit import not_to_static

from . import loader, reference_nested
from .backend import choose_backend
from .conv2d import check_conv2d, conv2d, pair
from .precision import as_convolution


def nested_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    backend: str = "auto",
) -> Tensor:
    """Spatial versatile convolution (arXiv 2109.09310): s = ceil(min(kh, kw) / 2) filters out of each stored one.

    Output channel ``i * F + f`` is filter f without its i outer rings of taps, around the same centre: the windows of
    all crops are those of the whole kernel.

    Args:
        x: [N, C, H, W].
        weight: [F, C / groups, kh, kw].
        stride, padding, dilation, groups: as in `ppeffconv.ops.conv2d`; ``groups`` must divide C and F.
        backend: "auto", "cpu" (float32), "cuda" or "reference".

    Returns:
        [N, s * F, OH, OW] of the size of the whole kernels' convolution; differentiable once in x and weight, with
        gradients that do not differ from run to run.

    Raises:
        ValueError: a shape, type or argument does not fit.
        RuntimeError: the backend asked for is not available.
    """
    stride, dilation = pair(stride, "stride"), pair(dilation, "dilation")
    padding = pair(padding, "padding", minimum=0)
    x, weight = as_convolution(x, weight, groups)
    groups = check_conv2d("nested_conv2d", x, weight, None, stride, padding, dilation, groups)
    if reference_nested.nested_filters(weight.shape[2:]) == 1:
        return conv2d(x, weight, None, stride, padding, dilation, groups, backend)
    if choose_backend("nested_conv2d", backend, x, weight) == "cpu":
        return _compiled(x, weight, stride, padding, dilation, groups)
    return reference_nested.nested_conv2d(x, weight, stride, padding, dilation, groups)


@not_to_static
def _compiled(x: Tensor, weight: Tensor, stride, padding, dilation, groups) -> Tensor:
    needed = not x.stop_gradient, not weight.stop_gradient
    return loader.call("nested_conv2d", x, weight, list(stride), list(padding), list(dilation), groups, *needed)[0]
