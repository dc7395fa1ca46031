"""`ops.conv2d` against a loop over output pixels, finite differences and Paddle's own convolution."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppeffconv import layers, ops
from ppeffconv.ops import loader
from tests import oracles

BACKENDS = [
    "reference",
    pytest.param("cpu", marks=pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")),
]
# (N, C, H, W), (O, kh, kw), arguments: odd and tiny sizes, vector-width edges, every argument, groups, depthwise
CASES = [
    ((1, 1, 1, 1), (1, 1, 1), {}),
    ((2, 3, 7, 5), (4, 3, 3), {"padding": 1}),
    ((1, 33, 9, 7), (17, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 16, 8, 8), (16, 1, 1), {"stride": 3}),
    ((1, 15, 16, 15), (16, 2, 2), {"padding": (1, 0)}),
    ((1, 2, 11, 13), (3, 4, 5), {"stride": (2, 3), "padding": (3, 1), "dilation": (1, 2)}),
    ((1, 4, 33, 17), (4, 3, 3), {"padding": 8, "dilation": 8}),
    ((2, 6, 6, 6), (6, 6, 6), {"padding": 2}),
    ((1, 3, 9, 9), (2, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 6, 8, 7), (9, 3, 3), {"groups": 3, "padding": 1}),
    ((1, 33, 5, 6), (33, 3, 3), {"groups": 33, "padding": 1}),
    ((1, 4, 9, 9), (8, 5, 5), {"groups": 4, "stride": 2, "padding": 2}),
    ((3, 32, 4, 4), (64, 3, 1), {"groups": 2, "padding": (1, 0)}),
    # one or two output channels, which are computed tap by tap; the last is more than one block of columns
    ((3, 17, 9, 8), (1, 3, 3), {"padding": 1}),
    ((2, 4, 5, 6), (2, 1, 1), {"stride": 2}),
    ((1, 5, 50, 47), (2, 3, 5), {"stride": (2, 3), "padding": (3, 2), "dilation": (2, 1)}),
    # 1x1 on planes that are not tiny: products over the images as they lie, in more than one block
    ((2, 3, 17, 19), (5, 1, 1), {}),
    ((3, 40, 16, 16), (70, 1, 1), {}),
    ((1, 6, 67, 71), (1, 1, 1), {}),
    # narrow images with large weights, which are computed as one matrix product
    ((3, 64, 3, 2), (64, 3, 3), {"padding": 1}),
    ((2, 130, 4, 4), (256, 1, 1), {}),
    ((2, 64, 7, 9), (66, 3, 3), {"stride": (2, 4), "padding": (2, 1), "dilation": (1, 2)}),
]


def make(x_shape, kernel, arguments, dtype="float32", bias=True):
    out, *size = kernel
    arrays = [oracles.random(*x_shape), oracles.random(out, x_shape[1] // arguments.get("groups", 1), *size, seed=1)]
    if bias:
        arrays.append(oracles.random(out, seed=2))
    return [paddle.to_tensor(a.astype(dtype), stop_gradient=False) for a in arrays]


def close(got, expected, relative=2e-5):
    """Within ``relative`` of the largest magnitude: rounding in float32 grows with the terms of the sums."""
    got, expected = np.asarray(got, "float64"), np.asarray(expected, "float64")
    assert got.shape == expected.shape
    assert np.abs(got - expected).max(initial=0) <= relative * max(np.abs(expected).max(initial=0), 1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_loop(case, bias, backend):
    tensors = make(*case, bias=bias)
    expected = oracles.conv2d(*(t.numpy().astype("float64") for t in tensors), **case[2])
    close(ops.conv2d(*tensors, **case[2], backend=backend).numpy(), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_equal_paddles_in_float64(case, backend):
    tensors, exact = make(*case), make(*case, dtype="float64")
    weight = oracles.random(*ops.conv2d(*tensors, **case[2]).shape, seed=3)
    (ops.conv2d(*tensors, **case[2], backend=backend) * paddle.to_tensor(weight.astype("float32"))).sum().backward()
    (F.conv2d(*exact, **case[2]) * paddle.to_tensor(weight)).sum().backward()
    for ours, theirs in zip(tensors, exact):
        close(ours.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_equal_finite_differences(backend):
    arguments = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    tensors = make((2, 4, 9, 8), (6, 3, 3), arguments)
    weight = oracles.random(*ops.conv2d(*tensors, **arguments).shape, seed=3)
    (ops.conv2d(*tensors, **arguments, backend=backend) * paddle.to_tensor(weight.astype("float32"))).sum().backward()
    arrays = [t.numpy().astype("float64") for t in tensors]
    for i, tensor in enumerate(tensors):

        def loss(changed, i=i):
            return (oracles.conv2d(*arrays[:i], changed, *arrays[i + 1 :], **arguments) * weight).sum()

        picks, numeric = oracles.numeric_gradient(loss, arrays[i], samples=10)
        close(tensor.grad.numpy().reshape(-1)[picks], numeric, 1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_frozen_tensors_get_no_gradient_and_the_others_keep_theirs(frozen, backend):
    both, some = make(*CASES[2]), make(*CASES[2])
    some[frozen].stop_gradient = True
    for tensors in (both, some):
        ops.conv2d(*tensors, **CASES[2][2], backend=backend).sum().backward()
    assert some[frozen].grad is None
    for i in {0, 1, 2} - {frozen}:
        close(some[i].grad.numpy(), both[i].grad.numpy(), 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_the_same_in_every_run(backend):
    runs = []
    for _ in range(3):
        tensors = make((4, 17, 19, 23), (33, 3, 3), {"padding": 1})
        ops.conv2d(*tensors, padding=1, backend=backend).square().sum().backward()
        runs.append([t.grad.numpy() for t in tensors])
    for again in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(runs[0], again))


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_input(backend):
    x, weight = oracles.random(2, 5, 7, 3).astype("float32"), oracles.random(4, 3, 3, 3, seed=1).astype("float32")
    turned, flipped = (paddle.to_tensor(a).transpose([0, 3, 1, 2]) for a in (x, weight.transpose(0, 2, 3, 1).copy()))
    y = ops.conv2d(turned, flipped, backend=backend)
    close(y.numpy(), oracles.conv2d(x.transpose(0, 3, 1, 2).astype("float64"), weight.astype("float64")))


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batch(backend):
    tensors = make((0, 3, 6, 5), (4, 3, 3), {})
    y = ops.conv2d(*tensors, stride=2, padding=1, backend=backend)
    assert y.shape == [0, 4, 3, 3]
    y.sum().backward()
    assert tensors[0].grad.shape == [0, 3, 6, 5]
    assert not tensors[1].grad.numpy().any()
    assert not tensors[2].grad.numpy().any()


@pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")
def test_auto_takes_the_kernel_for_float32_and_paddle_for_float64():
    tensors = make(*CASES[1])
    assert (ops.conv2d(*tensors, padding=1) == ops.conv2d(*tensors, padding=1, backend="cpu")).all()
    double = make(*CASES[1], dtype="float64")
    close(ops.conv2d(*double, padding=1).numpy(), F.conv2d(*double, padding=1).numpy(), 1e-12)
    with pytest.raises(RuntimeError, match="does not take paddle.float64"):
        ops.conv2d(*double, padding=1, backend="cpu")


@pytest.mark.skipif("conv2d" not in loader.library().ops, reason="kernels not compiled")
def test_many_threads_share_the_plans():
    from concurrent.futures import ThreadPoolExecutor

    cases = [(make(*case), case[2]) for case in CASES]
    expected = [ops.conv2d(*tensors, **arguments).numpy() for tensors, arguments in cases]

    def work(i):
        tensors, arguments = cases[i % len(cases)]
        return np.array_equal(ops.conv2d(*tensors, **arguments, backend="cpu").numpy(), expected[i % len(cases)])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(200)))


def test_a_traced_layer_equals_the_eager_one_and_needs_no_kernel(tmp_path):
    net = paddle.nn.Sequential(layers.Conv2D(3, 5, 3, 2, padding=(1, 0)), layers.VersatileConv2D(5, 6, 3, padding=1))
    net.eval()
    x = paddle.to_tensor(oracles.random(2, 3, 9, 8).astype("float32"))
    spec = [paddle.static.InputSpec([None, 3, None, None], "float32")]
    paddle.jit.save(net, str(tmp_path / "net"), input_spec=spec)
    assert "ppeffconv" not in (tmp_path / "net.json").read_text()
    close(paddle.jit.load(str(tmp_path / "net"))(x).numpy(), net(x).numpy())


def test_training_by_to_static_equals_eager():
    layer = layers.Conv2D(3, 4, 3, padding=1)
    x = paddle.to_tensor(oracles.random(2, 3, 6, 6).astype("float32"))
    layer(x).square().sum().backward()
    expected = layer.weight.grad.numpy()
    layer.clear_gradients()
    paddle.jit.to_static(layer)(x).square().sum().backward()
    close(layer.weight.grad.numpy(), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": oracles.random(2, 3, 4)}, "x must be a tensor of 4 dimensions, got shape"),
        ({"x": 3}, "x must be a tensor of 4 dimensions, got int"),
        ({"x": oracles.random(2, 4, 6, 6)}, "does not fit x"),
        ({"weight": oracles.random(4, 3, 3)}, "weight must be a tensor"),
        ({"weight": oracles.random(4, 3, 9, 3)}, "larger than x"),
        ({"weight": oracles.random(4, 3, 0, 3)}, "empty or larger"),
        ({"weight": oracles.random(4, 3, 3, 3).astype("float32")}, "share one floating type"),
        ({"bias": oracles.random(3)}, "bias must be"),
        ({"bias": oracles.random(4, 1)}, "bias must be"),
        ({"stride": 0}, "stride must be one or two integers >= 1, got 0"),
        ({"stride": -1}, "stride must be"),
        ({"stride": (1, 2, 3)}, "stride must be"),
        ({"stride": None}, "stride must be"),
        ({"padding": -1}, "padding must be"),
        ({"padding": "SAME"}, "padding must be"),
        ({"padding": 2**31 - 1}, "too large to exist"),
        ({"dilation": 0}, "dilation must be"),
        ({"dilation": 2**40}, "dilation must be"),
        ({"groups": 2}, "does not fit x"),
        ({"groups": 0}, "groups must be"),
        ({"backend": "gpu"}, "backend must be one of"),
    ],
)
def test_bad_arguments_are_named(change, message):
    arguments = {"x": oracles.random(2, 3, 6, 6), "weight": oracles.random(4, 3, 3, 3), **change}
    arguments = {k: paddle.to_tensor(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(ValueError, match=message):
        ops.conv2d(**arguments)


def test_integer_tensors_are_refused():
    with pytest.raises(ValueError, match="one floating type"):
        ops.conv2d(paddle.ones([1, 1, 3, 3], "int32"), paddle.ones([1, 1, 1, 1], "int32"))


sizes = st.integers(0, 5)
numbers = st.one_of(st.integers(-2, 4), st.tuples(sizes, sizes), st.sampled_from([None, "x", 1.5, (1,), 2**33]))


@settings(max_examples=300, deadline=None)
@given(
    x=st.lists(sizes, min_size=3, max_size=5),
    weight=st.lists(sizes, min_size=3, max_size=5),
    bias=st.one_of(st.none(), st.lists(sizes, max_size=2)),
    stride=numbers,
    padding=numbers,
    dilation=numbers,
    groups=st.one_of(st.integers(-1, 4), st.none()),
    types=st.tuples(*[st.sampled_from(["float32", "float32", "float32", "float64", "int32"])] * 2),
    matching=st.booleans(),
)
def test_any_call_computes_or_raises_value_error(x, weight, bias, stride, padding, dilation, groups, types, matching):
    if matching and len(x) == len(weight) == 4 and isinstance(groups, int):
        x[1] = weight[1] * max(groups, 0)
    x, weight = (paddle.ones(shape, dtype) for shape, dtype in zip((x, weight), types))
    bias = None if bias is None else paddle.ones(bias, x.dtype)
    try:
        y = ops.conv2d(x, weight, bias, stride, padding, dilation, groups)
    except ValueError:
        return
    assert y.shape[:2] == [x.shape[0], weight.shape[0]]
