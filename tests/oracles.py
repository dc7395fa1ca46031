"""Slow, obvious forms in numpy that the layers are compared with."""

from __future__ import annotations

import numpy as np
import paddle


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation by loops over output pixels: x [N, C, H, W], weight [O, C / groups, kh, kw], float64."""
    (sh, sw), (ph, pw), (dh, dw) = ((v, v) if isinstance(v, int) else tuple(v) for v in (stride, padding, dilation))
    n, channels, height, width = x.shape
    out, per_group, kh, kw = weight.shape
    padded = np.zeros((n, channels, height + 2 * ph, width + 2 * pw))
    padded[:, :, ph : ph + height, pw : pw + width] = x
    oh, ow = (height + 2 * ph - dh * (kh - 1) - 1) // sh + 1, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    y = np.zeros((n, out, oh, ow))
    for o in range(out):
        first = o // (out // groups) * per_group
        for i in range(oh):
            for j in range(ow):
                top, left = i * sh, j * sw
                patch = padded[:, first : first + per_group, top : top + dh * kh : dh, left : left + dw * kw : dw]
                y[:, o, i, j] = (patch[:, :, :kh, :kw] * weight[o]).sum((1, 2, 3))
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def average_pool2(x):
    """2x2 average pooling with ceil; a window at the border averages what it has."""
    n, c, h, w = x.shape
    y = np.zeros((n, c, (h + 1) // 2, (w + 1) // 2))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            y[:, :, i, j] = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((2, 3))
    return y


def upsample2(x, height, width):
    """Nearest upsampling by 2, cropped to height x width."""
    return x.repeat(2, axis=2).repeat(2, axis=3)[:, :, :height, :width]


def ddf(x, c, f, kernel_size, stride, dilation, mode):
    """Decoupled dynamic filtering by loops over pixels and taps: x [B, C, H, W], c [B, C, T], f [B, T, OH, OW]."""
    batch, channels, height, width = x.shape
    r = kernel_size // 2
    oh, ow = (height - 1) // stride + 1, (width - 1) // stride + 1
    y = np.zeros((batch, channels, oh, ow))
    for oy in range(oh):
        for ox in range(ow):
            for i in range(kernel_size):
                for j in range(kernel_size):
                    iy, ix = oy * stride + (i - r) * dilation, ox * stride + (j - r) * dilation
                    if 0 <= iy < height and 0 <= ix < width:
                        t = i * kernel_size + j
                        pixel = f[:, t, oy, ox][:, None]
                        weight = c[:, :, t] * pixel if mode == "mul" else c[:, :, t] + pixel
                        y[:, :, oy, ox] += weight * x[:, :, iy, ix]
    return y


def numeric_gradient(function, array, eps=1e-6, samples=None, seed=0):
    """Central differences of a scalar function of a float64 array; at ``samples`` random positions (default all)."""
    flat = array.reshape(-1)
    picks = np.arange(flat.size)
    if samples is not None and samples < flat.size:
        picks = np.random.default_rng(seed).choice(flat.size, samples, replace=False)
    gradient = np.zeros(len(picks))
    for n, pick in enumerate(picks):
        kept = flat[pick]
        flat[pick] = kept + eps
        above = function(array)
        flat[pick] = kept - eps
        gradient[n] = (above - function(array)) / (2 * eps)
        flat[pick] = kept
    return picks, gradient


def random(*shape, seed=0):
    """Reproducible normal numbers, float64."""
    return np.random.default_rng(seed).standard_normal(shape)


def to_float64(layer):
    """The layer with all parameters and buffers in float64."""
    layer.to(dtype="float64")
    return layer


def tensor(array, grad=False):
    """A float64 (or as given) Paddle tensor."""
    return paddle.to_tensor(array, stop_gradient=not grad)


def check_gradients(loss, inputs, relative=1e-6):
    """The gradients of ``loss()`` along a random direction equal its central differences; float64 inputs."""
    loss().backward()
    for tensor in inputs:
        step = paddle.to_tensor(random(*tensor.shape, seed=7).astype("float64"))
        slope, values = float((tensor.grad * step).sum()), []
        with paddle.no_grad():
            kept = tensor.clone()
            for sign in (1, -1):
                tensor.set_value(kept + sign * 1e-6 * step)
                values.append(float(loss()))
            tensor.set_value(kept)
        np.testing.assert_allclose((values[0] - values[1]) / 2e-6, slope, rtol=relative, atol=relative)
