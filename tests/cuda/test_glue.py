"""The functions of `cuda/api.h`, over emulated kernels on tensors on the CPU, against plain Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from ppeffconv import ops
from ppeffconv.ops import backend, loader, reference
from tests import oracles

TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}


def make(dtype, *shapes):
    return [paddle.to_tensor(oracles.random(*s, seed=i).astype("float32")).astype(dtype) for i, s in enumerate(shapes)]


def close(got, expected, dtype="float32"):
    """Equal to float64 results that began from the same rounded numbers, up to the rounding of the type."""
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected):
        assert ours.shape == theirs.shape
        ours, theirs = ours.astype("float64").numpy(), theirs.astype("float64").numpy()
        assert np.abs(ours - theirs).max(initial=0) <= TOLERANCE[dtype] * max(np.abs(theirs).max(initial=0), 1)


def exact(function, dy, *tensors):
    """Output and gradients of plain Paddle in float64."""
    wide = [t.astype("float64").detach() for t in tensors]
    for tensor in wide:
        tensor.stop_gradient = False
    y = function(*wide)
    (y * dy.astype("float64")).sum().backward()
    return [y, *(t.grad for t in wide)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("attributes", [(3, 1, 1, "mul"), (5, 2, 3, "add")], ids=str)
def test_ddf(glue, attributes, dtype):
    taps, (oh, ow) = attributes[0] ** 2, ((7 - 1) // attributes[1] + 1, (8 - 1) // attributes[1] + 1)
    *tensors, dy = make(dtype, (2, 5, 7, 8), (2, 5, taps), (2, taps, oh, ow), (2, 5, oh, ow))
    got = glue("ddf_cuda_forward", *tensors, *attributes) + glue("ddf_cuda_backward", *tensors, dy, *attributes)
    assert {t.dtype for t in got} == {tensors[0].dtype}
    close(got, exact(lambda *t: ops.ddf(*t, *attributes, backend="reference"), dy, *tensors), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("shape", "axis"), [((2, 3, 9, 4, 5), 2), ((2, 9, 6), 1), ((3, 25), 1)])
def test_filter_norm(glue, shape, axis, dtype):
    x, dy = make(dtype, shape, shape)
    got = glue("filter_norm_cuda_forward", x, axis, 0.5, 0.1) + glue("filter_norm_cuda_backward", x, dy, axis, 0.5, 0.1)
    close(got, exact(lambda t: reference.filter_norm(t, axis, 0.1) * 0.5, dy, x), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_sample_interpolate(glue, dtype):
    features, dy = make(dtype, (2, 3, 9, 7), (2, 3, 9, 7))
    mask, sigma = paddle.rand([2, 1, 9, 7]), paddle.to_tensor([1.3])
    y, inactive = (glue(f"sample_interpolate_cuda_{n}", features, mask, sigma, 5)[0] for n in ("forward", "inactive"))
    gradients = glue("sample_interpolate_cuda_backward", features, mask, sigma, dy, 5)
    expected = exact(lambda *t: ops.sample_interpolate(*t, 5, backend="reference"), dy, features, mask, sigma)
    close([y, inactive], [expected[0]] * 2, dtype)
    close(gradients[:1], expected[1:2], dtype)
    close(gradients[1:], expected[2:])
    assert {t.dtype for t in gradients[1:]} == {paddle.float32}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("density", [0.0, 0.4, 1.0])
def test_sampled_conv2d(glue, density, bias):
    x, weight, b = make("float32", (2, 5, 9, 11), (7, 5, 3, 5), (7,))
    geometry = {"stride": (2, 1), "padding": (1, 3), "dilation": (2, 1)}
    dense = paddle.nn.functional.conv2d(x, weight, b if bias else None, **geometry)
    active = paddle.rand([2, 1, *dense.shape[2:]]) < density
    lists = map(list, geometry.values())
    got = glue("sampled_conv2d_cuda_forward", x, weight, active, b if bias else None, *lists)
    close(got, [dense * active.astype("float32")])


def test_sampled_conv2d_in_several_parts(glue):
    x, weight = make("float32", (1, 4096, 2, 2050), (1, 4096, 1, 1))
    active = paddle.ones([1, 1, 2, 2050], "bool")  # 4100 rows, of which the matrix takes 4096
    got = glue("sampled_conv2d_cuda_forward", x, weight, active, None, [1, 1], [0, 0], [1, 1])
    close(got, [paddle.nn.functional.conv2d(x, weight)])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", [(7, 9), (8, 12), (1, 1)])
def test_octave(glue, size, dtype):
    half = [(n + 1) // 2 for n in size]
    high, low = make(dtype, (2, 3, *size), (2, 3, *half))

    def pool(x):
        return paddle.nn.functional.avg_pool2d(x, 2, 2, ceil_mode=True)

    def upsample(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : size[0], : size[1]]

    close(
        glue("octave_pool_cuda_forward", high) + glue("octave_pool_cuda_backward", high, low),
        exact(pool, low, high),
        dtype,
    )
    upsampled = glue("octave_upsample_cuda_forward", low, *size) + glue("octave_upsample_cuda_backward", high)
    close(upsampled, exact(upsample, high, low), dtype)
    added = glue("octave_upsample_add_cuda_forward", high, low) + glue("octave_upsample_add_cuda_backward", high)
    close(added, exact(lambda a, b: a + upsample(b), high, high, low), dtype)


@pytest.fixture
def launched(glue, monkeypatch):
    """Let ``backend="cuda"`` hand tensors on the CPU to emulated kernels; the names of those that ran."""
    names = []

    def call(op, *arguments):
        form = "forward"
        if op == "sample_interpolate":
            *arguments, need_gradient = arguments
            form = "forward" if need_gradient else "inactive"
        names.append(f"{op}_cuda_{form}")
        return glue(names[-1], *arguments)

    monkeypatch.setattr(loader, "_library", loader.Library(Path("ops_cuda.so"), frozenset(backend.KERNELS)))
    monkeypatch.setattr(loader, "call", call)
    monkeypatch.setattr(backend, "_misfit", lambda *_: "")
    return names


CALLS = {
    "ddf": ((1, 2, 5, 6), (1, 2, 9), (1, 9, 5, 6)),
    "filter_norm": ((2, 3, 9), 2, 0.5, 0.1),
    "octave_pool": ((1, 2, 5, 7),),
    "octave_upsample": ((1, 2, 3, 4), (5, 7)),
    "octave_upsample_add": ((1, 2, 5, 7), (1, 2, 3, 4)),
    "sample_interpolate": ((1, 2, 5, 7), (1, 1, 5, 7), (1,)),
    "sampled_conv2d": ((1, 2, 5, 7), (3, 2, 3, 3), (1, 1, 3, 5), (3,)),
}


@pytest.mark.parametrize("op", backend.CUDA_KERNELS)
def test_the_ops_call_their_kernels(launched, op):
    values = [make("float32", a)[0] if isinstance(a, tuple) and a != (5, 7) else a for a in CALLS[op]]
    got, expected = (getattr(ops, op)(*values, backend=name) for name in ("cuda", "reference"))
    assert launched == [f"{op}_cuda_{'inactive' if op == 'sample_interpolate' else 'forward'}"]
    close([got], [expected])


def test_filter_norm_by_a_tensor_keeps_its_kernel(launched):
    logits, scale = make("float32", (2, 3, 9), (3, 9))
    got, expected = (ops.filter_norm(logits, -1, scale, backend=name) for name in ("cuda", "reference"))
    assert launched == ["filter_norm_cuda_forward"]
    close([got], [expected])


def test_only_inference_interpolates_by_the_form_for_it(launched):
    features, mask, sigma = make("float32", *CALLS["sample_interpolate"])
    sigma.stop_gradient = False
    ops.sample_interpolate(features, mask, sigma, backend="cuda")
    with paddle.no_grad():
        ops.sample_interpolate(features, mask, sigma, backend="cuda")
    assert launched == ["sample_interpolate_cuda_forward", "sample_interpolate_cuda_inactive"]


def test_empty_batches(glue):
    x, c, f, low, mask = (paddle.zeros(s) for s in ([0, 3, 4, 5], [0, 3, 9], [0, 9, 4, 5], [0, 3, 2, 3], [0, 1, 4, 5]))
    sigma, weight = paddle.ones([1]), paddle.zeros([2, 3, 1, 1])
    shapes = [list(t.shape) for t in glue("ddf_cuda_backward", x, c, f, x, 3, 1, 1, "mul")]
    assert shapes == [[0, 3, 4, 5], [0, 3, 9], [0, 9, 4, 5]]
    assert glue("filter_norm_cuda_backward", c, c, 2, 1.0, 0.0)[0].shape == [0, 3, 9]
    assert float(glue("sample_interpolate_cuda_backward", x, mask, sigma, x, 7)[2]) == 0
    assert (
        glue("sampled_conv2d_cuda_forward", x, weight, mask.astype("bool"), None, *[[1, 1], [0, 0], [1, 1]])[0].shape[1]
        == 2
    )
    assert glue("octave_pool_cuda_forward", x)[0].shape == [0, 3, 2, 3]
    assert [list(t.shape) for t in glue("octave_upsample_add_cuda_backward", x)] == [[0, 3, 4, 5], list(low.shape)]


def test_other_types_are_refused(glue):
    with pytest.raises((RuntimeError, OSError), match="float32, float16 and bfloat16"):
        glue("octave_pool_cuda_forward", paddle.ones([1, 1, 2, 2], "float64"))
