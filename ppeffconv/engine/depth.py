"""Loss and error of joint depth upsampling, by the protocol of PAC-Net that the DDF paper follows."""

from __future__ import annotations

from collections.abc import Iterable

import paddle
from paddle import Tensor, nn

from ..models.depth_upsampler import depth_range
from ..utils.modes import eval_mode
from .distributed import sum_over_processes
from .evaluator import count_samples

BORDER = 6  # pixels at each side that neither the loss nor the error looks at
CENTIMETRES = 100  # in the unit of the data


def inside(x: Tensor) -> Tensor:
    """Leave the border out of [N, C, H, W]; ValueError if nothing is left."""
    height, width = x.shape[2:]
    if min(height, width) <= 2 * BORDER:
        raise ValueError(f"depth maps of {height}x{width} are nothing but their border of {BORDER} pixels")
    return x[:, :, BORDER : height - BORDER, BORDER : width - BORDER]


class DepthLoss(nn.Layer):
    """Mean squared error of depths that are scaled as the network scales them: by each image's low resolution.

    Args:
        scale: of the upsampling; the low resolution is read from the target, as `PointSampledPair` does.

    Shapes:
        prediction and target [N, 1, H, W], with sides that are multiples of the scale -> scalar.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        first = (self.scale - 1) // 2
        _, span = depth_range(target[:, :, first :: self.scale, first :: self.scale])
        return (inside(prediction - target) / span).square().mean()


def rmse(prediction: Tensor, target: Tensor) -> Tensor:
    """Root mean squared error of each image in cm, [N], without the border; depths [N, 1, H, W] in metres."""
    return CENTIMETRES * inside(prediction - target).square().mean([1, 2, 3]).sqrt()


def evaluate_depth(net: nn.Layer, loader: Iterable) -> dict[str, float]:
    """Evaluate an upsampler in eval mode and leave its mode as it was.

    Args:
        net: [N, 4, H, W] -> [N, 1, H, W], as `JointUpNet`.
        loader: yields (input, target); on several processes, each yields its own samples, and none twice.

    Returns:
        ``rmse``, the mean over all images of each image's error in cm, and what `count_samples` returns.

    Raises:
        ValueError: no samples at all, or too many that cannot be read.
    """
    sums = [0.0, 0.0]
    with eval_mode(net), paddle.no_grad():
        for x, target in loader:
            sums[0] += x.shape[0]
            sums[1] += float(rmse(net(x), target).sum())
    counts, (total,) = count_samples(int(sums[0]), loader), sum_over_processes(sums[1:])
    return {"rmse": total / counts["samples"], **counts}
