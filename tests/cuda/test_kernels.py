"""Every CUDA kernel, run on the CPU in three orders of its threads, against plain Paddle and loops in float64."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv import ops
from ppeffconv.ops import reference
from tests import oracles

from . import emulated

# of the largest magnitude: rounding of the result, on top of sums in float32
TOLERANCE = {"float32": 1e-5, "float16": 6e-4, "bfloat16": 4.5e-3}


def differentiate(function, dy, *arrays):
    """The output of a function of float64 tensors, and their gradients for dy."""
    tensors = [oracles.tensor(a.astype("float64"), grad=True) for a in arrays]
    y = function(*tensors)
    (y * paddle.to_tensor(dy.astype("float64"))).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def exact_ddf(x, c, f, dy, shape, kernel=3, stride=1, dilation=1, mode="mul"):
    return differentiate(lambda *t: ops.ddf(*t, kernel, stride, dilation, mode), dy, x, c, f)


def exact_filter_norm(x, dy, outer, taps, inner, scale=1.0, eps=1e-10, equal=False):
    return differentiate(lambda t: reference.filter_norm(t, 1, eps) * scale, dy, x)


def exact_interpolate(features, mask, dy, shape, sigma=3.0, window=7, kind="soft"):
    sigma = np.array([sigma], np.float32)
    y, *gradients = differentiate(lambda *t: ops.sample_interpolate(*t, window), dy, features, mask, sigma)
    return [y, y, *gradients]


def exact_octave(large, small, planes, height, width):
    def pool(x):
        return paddle.nn.functional.avg_pool2d(x.unsqueeze(0), 2, 2, ceil_mode=True).squeeze(0)

    def upsample(x):
        return x.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]

    pooled, spread = differentiate(pool, small, large)
    upsampled, summed = differentiate(upsample, large, small)
    return [pooled, spread, large + upsampled, upsampled, summed]


def exact_sampled(x, rows, positions, shape, count, out_channels, geometry):
    columns = paddle.nn.functional.unfold(paddle.to_tensor(x.astype("float64")), *geometry)
    matrix = columns.transpose([0, 2, 1]).flatten(0, 1).numpy()[positions]
    out = emulated.sampled_sizes(shape, *geometry)
    image = np.zeros((shape[0] * out[0] * out[1], out_channels))
    image[positions] = rows
    return [matrix, image.reshape(shape[0], *out, out_channels).transpose(0, 3, 1, 2)]


def identity(case):
    return f"{case[0].__name__}-" + "-".join(str(value).replace(" ", "") for value in case[1].values())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", emulated.CASES, ids=identity)
def test_equals_the_exact_result_and_itself_in_every_order(library, case, dtype):
    op, arguments = case
    run = emulated.Emulation(library, dtype)
    inputs = emulated.INPUTS[op](**arguments)
    rounded = [a if a.dtype != "float64" else emulated.decode(emulated.encode(a, dtype)) for a in inputs]
    first, *others = [op(run, *inputs, **arguments) for run.order in emulated.ORDERS]
    exact = globals()[f"exact_{op.__name__}"](*rounded, **arguments)
    assert len(first) == len(exact)
    for i, (got, expected) in enumerate(zip(first, exact)):
        for other in others:
            assert got.tobytes() == other[i].tobytes(), f"result {i} depends on the order of threads"
        expected = expected.reshape(got.shape)
        # the gradients of mask and sigma are in float32, sums of terms that cancel
        weights = op is emulated.interpolate and i >= 3
        least, tolerance = (1.0, 4e-5) if weights else (1e-3, TOLERANCE[dtype])
        error = np.abs(emulated.decode(got) - expected).max() / max(np.abs(expected).max(), least)
        assert error <= tolerance, f"result {i}"


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_changed_number_is_noticed(library, which):
    arguments = {"shape": (1, 3, 9, 8)}
    inputs = emulated.ddf_inputs(**arguments)
    expected = exact_ddf(*inputs, **arguments)[0]
    inputs[which].flat[inputs[which].size // 3 + 1] += 0.01
    got = emulated.ddf(emulated.Emulation(library), *inputs, **arguments)[0]
    assert np.abs(got - expected).max() > 10 * TOLERANCE["float32"] * np.abs(expected).max()


def test_too_wide_a_window_is_refused(library):
    arguments = {"shape": (1, 1, 200, 200), "window": 301}
    with pytest.raises(RuntimeError, match="window is too wide"):
        emulated.interpolate(emulated.Emulation(library), *emulated.interpolate_inputs(**arguments), **arguments)


def test_an_image_of_2_to_the_31_pixels_is_refused(library):
    nothing = np.zeros(1, np.float32)
    with pytest.raises(RuntimeError, match="2\\^31 pixels"):
        emulated.Emulation(library)("ddf_forward", [1, 1, 1 << 16, 1 << 16, 3, 1, 1, 0], *[nothing] * 4)
