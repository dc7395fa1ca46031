"""What joint depth upsampling is compared with: bicubic interpolation and the guided filter, which learn nothing."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from .depth_upsampler import split_input


class BicubicUpsampling(nn.Layer):
    """Bicubic interpolation of the low-resolution depth: [N, 4, H, W] -> [N, 1, H, W], as `JointUpNet`."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        depth, guide = split_input(x, self.scale)
        return _bicubic(depth, self.scale)[:, :, : guide.shape[2], : guide.shape[3]]


class GuidedFilterUpsampling(nn.Layer):
    """The guided filter with a colour guide (He et al., PAMI 2013, Sec. 3.6 Eqs. 19 to 21) on bicubic depth.

    In each window the depth is a linear function of the colour, fitted by least squares; a pixel averages the functions
    of all windows that it lies in.

    Args:
        scale: of the upsampling.
        radius: of the window, in pixels of the image; default: the scale.
        eps: added to the variance of the guide: the smaller, the more of the guide's edges pass.

    Shapes:
        [N, 4, H, W] -> [N, 1, H, W], as `JointUpNet`.
    """

    def __init__(self, scale: int, radius: int | None = None, eps: float = 1e-3) -> None:
        super().__init__()
        self.scale, self.radius, self.eps = scale, radius or scale, eps

    def forward(self, x: Tensor) -> Tensor:
        depth, guide = split_input(x, self.scale)
        height, width = guide.shape[2:]
        return guided_filter(guide, _bicubic(depth, self.scale)[:, :, :height, :width], self.radius, self.eps)


def guided_filter(guide: Tensor, image: Tensor, radius: int, eps: float) -> Tensor:
    """Filter ``image`` [N, 1, H, W] by ``guide`` [N, C, H, W]; windows at the border are what lies inside."""
    # the filter commutes with a shift of either, and differences of large means would lose digits
    guide = guide - guide.mean([2, 3], keepdim=True)
    offset = image.mean([2, 3], keepdim=True)
    image = image - offset

    def box(map_: Tensor) -> Tensor:
        rows = F.avg_pool2d(map_, (2 * radius + 1, 1), 1, (radius, 0), exclusive=True)
        return F.avg_pool2d(rows, (1, 2 * radius + 1), 1, (0, radius), exclusive=True)

    channels = guide.shape[1]
    mean, mean_image = box(guide), box(image)
    covariance = box(guide * image) - mean * mean_image  # [N, C, H, W]
    products = guide.unsqueeze(1) * guide.unsqueeze(2)
    second = box(products.flatten(1, 2)).reshape(products.shape)
    sigma = (second - mean.unsqueeze(1) * mean.unsqueeze(2)).transpose([0, 3, 4, 1, 2])  # [N, H, W, C, C]
    right = covariance.transpose([0, 2, 3, 1]).unsqueeze(-1)
    a = paddle.linalg.solve(sigma + eps * paddle.eye(channels, dtype=sigma.dtype), right).squeeze(-1)
    a = a.transpose([0, 3, 1, 2])
    b = mean_image - (a * mean).sum(1, keepdim=True)
    return (box(a) * guide).sum(1, keepdim=True) + box(b) + offset


def _bicubic(depth: Tensor, scale: int) -> Tensor:
    return F.interpolate(depth, scale_factor=scale, mode="bicubic", align_corners=False)
