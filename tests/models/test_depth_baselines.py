"""The guided filter against least squares in every window; bicubic interpolation of the right pixels."""

from __future__ import annotations

import numpy as np
import paddle.nn.functional as F
import pytest

from ppeffconv.models import BicubicUpsampling, GuidedFilterUpsampling
from ppeffconv.models.depth_baselines import guided_filter

from ..oracles import random, tensor
from .test_depth_upsampler import image


def by_windows(guide, picture, radius, eps):
    """Fit depth = a . colour + b in each window by ridge regression, then average what the windows of a pixel say."""
    height, width = picture.shape

    def window(row, column):
        rows = slice(max(row - radius, 0), row + radius + 1)
        return ..., rows, slice(max(column - radius, 0), column + radius + 1)

    fits = np.zeros((4, height, width))
    for row, column in np.ndindex(height, width):
        colours = guide[window(row, column)].reshape(3, -1).T.astype(np.float64)
        values = picture[window(row, column)].ravel().astype(np.float64)
        centred = colours - colours.mean(0)
        gram = centred.T @ centred / len(values) + eps * np.eye(3)
        a = np.linalg.solve(gram, centred.T @ values / len(values))
        fits[:, row, column] = [*a, values.mean() - a @ colours.mean(0)]
    out = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        *a, b = fits[window(row, column)].mean((1, 2))
        out[row, column] = a @ guide[:, row, column] + b
    return out


@pytest.mark.parametrize(("height", "width", "radius"), [(9, 12, 2), (7, 7, 3), (5, 6, 1)])
def test_guided_filter(height, width, radius):
    guide, picture = random(1, 3, height, width, seed=1), 50 + random(1, 1, height, width, seed=2)
    got = guided_filter(tensor(guide), tensor(picture), radius, 0.05).numpy()[0, 0]
    np.testing.assert_allclose(got, by_windows(guide[0], picture[0, 0], radius, 0.05), rtol=1e-4)


@pytest.mark.parametrize("eps", [1e-6, 1.0])
def test_edges_of_the_guide(eps):
    """A guide with the edge lets it pass where eps is small, and is a box filter where it is large."""
    x = np.zeros((1, 3, 12, 12), np.float32)
    x[..., 6:] = 0.5
    edge = 1 + 4 * x[:, :1]
    got = guided_filter(tensor(x), tensor(edge), 2, eps).numpy()
    blurred = F.avg_pool2d(F.avg_pool2d(tensor(edge), 5, 1, 2, exclusive=True), 5, 1, 2, exclusive=True).numpy()
    error, blur = np.abs(got - edge).max(), np.abs(got - blurred).max()
    assert (error < 1e-3) if eps < 1e-3 else (blur < 0.2)


@pytest.mark.parametrize("network", [BicubicUpsampling, GuidedFilterUpsampling])
@pytest.mark.parametrize(("height", "width"), [(16, 24), (13, 11)])
def test_a_slope_stays_a_slope(network, height, width):
    """Away from the border, where it is held on to, interpolation keeps a linear depth."""
    depth = (2 + 0.01 * np.arange(4 * 8)[None] + 0.02 * np.arange(4 * 8)[:, None]).astype(np.float32)
    x = image(32, 32, 4)
    low = depth.reshape(8, 4, 8, 4).mean((1, 3))
    x[0, 3] = low.repeat(4, 0).repeat(4, 1)
    x[0, :3] = 0.5 + (depth - 2) / 2
    y = network(4)(tensor(x[:, :, :height, :width])).numpy()
    assert y.shape == (1, 1, height, width)
    y = network(4)(tensor(x)).numpy()[0, 0]
    np.testing.assert_allclose(y[12:20, 12:20], depth[12:20, 12:20], atol=6e-3)  # a pixel is a centimetre


def test_images_of_a_batch_do_not_meet():
    x = tensor(image(16, 20, 4, batch=2))
    for net in (BicubicUpsampling(4), GuidedFilterUpsampling(4, radius=3, eps=1e-2)):
        np.testing.assert_allclose(net(x)[1:].numpy(), net(x[1:]).numpy(), rtol=1e-4, atol=1e-5)
