"""A gradient through a gradient: right in plain Paddle, an error by the kernels, nowhere silently 0."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv import ops
from ppeffconv.ops import loader
from tests import oracles

compiled = pytest.mark.skipif(not loader.library().ops, reason="kernels not compiled")


def statistics(like):
    return paddle.zeros_like(like), paddle.ones_like(like)


def mask_for(features):
    return paddle.to_tensor(oracles.random(1, 1, *features.shape[2:]) > 0).astype(features.dtype)


# an op of tensors that take gradients, and their shapes
CASES = {
    "conv2d": (lambda x, w: ops.conv2d(x, w, None, 1, 1), [(1, 2, 5, 4), (3, 2, 3, 3)]),
    "conv2d_bias": (lambda x, w, b: ops.conv2d(x, w, b, 2, 1, 1, 2), [(1, 4, 5, 4), (2, 2, 3, 3), (2,)]),
    "nested_conv2d": (lambda x, w: ops.nested_conv2d(x, w, 1, 0), [(1, 2, 5, 4), (2, 2, 3, 3)]),
    "batch_norm": (lambda x, w, b: ops.batch_norm(x, *statistics(w), w, b, training=True), [(2, 3, 4, 4), (3,), (3,)]),
    "batch_norm_add": (
        lambda x, w, b, r: ops.batch_norm(x, *statistics(w), w, b, r, relu=True, training=True),
        [(2, 3, 4, 4), (3,), (3,), (2, 3, 4, 4)],
    ),
    "blend": (
        lambda x, y, w, b: ops.blend(x, y, (*statistics(w), w, b), (*statistics(w), b, w), training=True),
        [(2, 3, 4, 4), (2, 3, 4, 4), (3,), (3,)],
    ),
    "octave_pool": (ops.octave_pool, [(1, 2, 5, 4)]),
    "octave_upsample": (lambda low: ops.octave_upsample(low, (5, 3)), [(1, 2, 3, 2)]),
    "octave_upsample_add": (ops.octave_upsample_add, [(1, 2, 5, 3), (1, 2, 3, 2)]),
    "ddf": (ops.ddf, [(1, 2, 4, 5), (1, 2, 3, 3), (1, 9, 4, 5)]),
    "filter_norm": (lambda x: ops.filter_norm(x, 1), [(1, 9, 2, 3)]),
    "filter_norm_scaled": (lambda x, s: ops.filter_norm(x, 2, s), [(1, 2, 9), (2, 9)]),
    "sample_interpolate": (lambda f, s: ops.sample_interpolate(f, mask_for(f), s), [(1, 2, 5, 6), (1,)]),
}
ALL = pytest.mark.parametrize("name", CASES)


def tensors(shapes, dtype):
    arrays = [oracles.random(*shape, seed=i).astype(dtype) for i, shape in enumerate(shapes)]
    return [paddle.to_tensor(array, stop_gradient=False) for array in arrays]


def penalty(op, inputs, of):
    """The squared gradient, in ``of``, of a sum that is not linear in the op's output."""
    gradients = paddle.grad((op(*inputs) ** 3).sum(), of, create_graph=True)
    return sum((gradient**2).sum() for gradient in gradients)


@ALL
def test_plain_paddle_equals_finite_differences(name, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_OPS", "reference")
    op, shapes = CASES[name]
    inputs, step = tensors(shapes, "float64"), 1e-6
    gradients = paddle.grad(penalty(op, inputs, inputs), inputs, allow_unused=True)
    for i, (tensor, gradient) in enumerate(zip(inputs, gradients)):
        direction = paddle.to_tensor(oracles.random(*tensor.shape, seed=10 + i))

        def moved(by, i=i, direction=direction):
            others = [t + by * direction if i == j else t * 1 for j, t in enumerate(inputs)]
            return float(penalty(op, others, others))

        numeric = (moved(step) - moved(-step)) / (2 * step)
        exact = 0.0 if gradient is None else float((gradient * direction).sum())
        assert exact == pytest.approx(numeric, rel=1e-5, abs=1e-5 * abs(float(penalty(op, inputs, inputs))))


@compiled
@ALL
def test_kernels_say_that_they_have_none(name):
    op, shapes = CASES[name]
    for alone in range(len(shapes)):  # whatever is asked for
        inputs = tensors(shapes, "float32")
        with pytest.raises(RuntimeError, match=r"no second derivative.*PPEFFCONV_OPS=reference"):
            penalty(op, [t * 1 for t in inputs], inputs).backward()
        with pytest.raises(RuntimeError, match=r"no second derivative.*PPEFFCONV_OPS=reference"):
            penalty(op, inputs, inputs[alone : alone + 1]).backward()


@compiled
def test_what_gives_no_second_derivative_may_be_asked_for(monkeypatch):
    """`create_graph` alone costs nothing, and the gradient is that without it."""
    op, shapes = CASES["conv2d"]
    inputs = tensors(shapes, "float32")
    plain, kept = (paddle.grad(op(*inputs).sum(), inputs, create_graph=create) for create in (False, True))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(plain, kept))


@pytest.mark.parametrize("name", ["resnet20", "oct_resnet20", "sp_resnet20", "versatile_resnet20", "gated_resnet20"])
def test_a_gradient_penalty_of_a_network(name, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_OPS", "reference")
    net, x = ppeffconv.create_model(name, num_classes=3), paddle.randn([2, 3, 16, 16])
    x.stop_gradient = False
    (gradient,) = paddle.grad(net(x).sum(), x, create_graph=True)
    (gradient**2).sum().backward()
    missing = [name for name, weight in net.named_parameters() if weight.ndim == 4 and weight.grad is None]
    assert not missing
