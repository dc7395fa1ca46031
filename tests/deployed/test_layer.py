"""Deployed as a layer: state dict, modes, traces, types, errors, report."""

from __future__ import annotations

import copy
import hashlib
import re

import numpy as np
import paddle
import pytest
from paddle import nn

import ppeffconv
from ppeffconv.deployed import Deployed, Program, layer
from ppeffconv.ops.deployed import _holders

from .networks import assert_same, create, images, need, run

SPEC = [paddle.static.InputSpec([None, 3, None, None], "float32")]


@pytest.fixture(scope="module")
def octave():
    return create("oct_resnet20")


def test_it_is_frozen(octave):
    deployed = ppeffconv.deploy(octave)
    assert deployed.parameters() == []
    assert all(tensor.stop_gradient for tensor in deployed.buffers())
    assert list(deployed.state_dict()) == [f"w{i}" for i in range(len(deployed.program.weights))]
    x = images((1, 3, 33, 31))
    assert deployed.program.weights[0] is deployed.w0  # in memory once
    before = run(deployed, x)
    deployed.train()
    assert_same(run(deployed, x), before)


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("around", [False, True])
def test_a_new_state_dict_counts(octave, backend, around):
    """Also when it is set through a network around it."""
    need(backend)
    deployed = ppeffconv.deploy(octave, backend=backend)
    x = images((1, 3, 33, 31))
    before, uid = run(deployed, x), deployed.uid
    net = nn.Sequential(deployed) if around else deployed
    net.set_state_dict({name: value * 1.1 for name, value in net.state_dict().items()})
    assert deployed.uid != uid
    assert float((run(deployed, x) - before).abs().max()) > 0.01 * float(before.std())


def test_fingerprint(octave):
    first, again, other = (ppeffconv.deploy(octave, seed=seed) for seed in (0, 0, 1))
    assert first.uid == again.uid != other.uid
    assert copy.deepcopy(first).uid == first.uid


@pytest.mark.parametrize(
    "name",
    ["oct_resnet20", "sp_resnet20", "ddf_resnet20", "sampled_resnet20", "uniform_resnet20", "versatile_resnet20"],
)
def test_trace_of_any_size(name, tmp_path):
    """The stock export: Paddle's own ops, any batch, height and width."""
    net = create(name, **({"scale": 0.7} if name == "uniform_resnet20" else {}))
    if name == "sampled_resnet20":
        ppeffconv.layers.set_eval_mode(net, "hard")
    deployed = ppeffconv.deploy(net, seed=3)
    paddle.jit.save(deployed, str(tmp_path / "net"), input_spec=SPEC)
    loaded = paddle.jit.load(str(tmp_path / "net"))
    reference = ppeffconv.deploy(net, seed=3, backend="reference")
    for shape in ((1, 3, 33, 47), (3, 3, 32, 40)):
        assert_same(loaded(images(shape)), run(reference, images(shape)))


def test_trace_leaves_the_densities_alone():
    deployed = ppeffconv.deploy(create("sampled_resnet20"))
    paddle.jit.to_static(deployed, input_spec=SPEC, full_graph=True).forward.concrete_program  # noqa: B018
    assert deployed.densities == {}


@pytest.mark.parametrize("name", ["oct_resnet20", "sp_resnet20", "sampled_resnet20"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_bfloat16_is_close(name, backend):
    need(backend)
    net = create(name)
    deployed = ppeffconv.deploy(net, dtype="bfloat16", backend=backend)
    assert deployed.program.text.startswith("ppeffconv-program 1 bfloat16 seed=0")
    x = images((2, 3, 33, 47))
    got, expected = run(deployed, x), run(net, x)
    assert got.dtype == paddle.float32
    error = float((got - expected).abs().mean() / expected.std())
    assert 1e-5 < error < (0.3 if name.startswith("sampled") else 0.05)  # a rounded logit flips a mask


def test_the_engine_on_request(octave):
    deployed = ppeffconv.deploy(octave, backend="cpu")
    x = images((1, 3, 33, 31))
    if "deployed" in ppeffconv.ops.loader.library().ops:
        assert_same(run(deployed, x), run(octave, x))
    else:
        with pytest.raises(RuntimeError, match="deployed: backend 'cpu' was asked for"):
            deployed(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (paddle.zeros([1, 4, 8, 8]), r"expects input \[N, 3, H, W\], got \[1, 4, 8, 8\]"),
        (paddle.zeros([3, 8, 8]), r"expects input \[N, 3, H, W\], got \[3, 8, 8\]"),
        (paddle.zeros([1, 3, 8]), r"got \[1, 3, 8\]"),
        (
            np.zeros([1, 3, 8, 8], "float32"),
            r"expects a tensor of Paddle \[N, 3, H, W\], got ndarray: paddle.to_tensor",
        ),
        ([1.0], "got list: paddle.to_tensor"),
        (paddle.zeros([1, 3, 8, 8], dtype="float64"), "expects float32, got paddle.float64"),
    ],
)
def test_bad_input(octave, x, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.deploy(octave)(x)


@pytest.mark.skipif("deployed" not in ppeffconv.ops.loader.library().ops, reason="kernels not compiled")
def test_images_that_are_too_small():
    deployed = ppeffconv.deploy(nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU()))
    with pytest.raises(ValueError, match=r"fails on images \[1, 3, 2, 9\]: .*the images are too small") as caught:
        deployed(paddle.zeros([1, 3, 2, 9]))
    assert "ppeffconv:0" not in str(caught.value)


def test_report(octave):
    deployed = ppeffconv.deploy(octave)
    text = deployed.report((3, 32, 32))
    assert text.startswith("the network (OctaveResNet): one program of ")
    assert "a pass of their own: nothing" in text
    assert f"{deployed.program.macs((3, 32, 32)) / 1e9:.3f} G" in text
    ran = deployed.report(images((2, 3, 32, 32)), rounds=2)
    assert f"{deployed.program.macs((3, 32, 32)) / 1e9:.3f} G" in ran
    assert re.search(r"measured: \d+\.\d\d ms \(\d+\.\d\d per image\), median of 2 with \d threads", ran)
    assert "1 batch norm" in ppeffconv.deploy(nn.Sequential(nn.Conv2D(3, 4, 1), nn.ReLU(), nn.BatchNorm2D(4))).report()
    assert "oct" not in repr(deployed)
    assert "backend=auto" in repr(deployed)


def test_from_text(octave):
    """What an export stores is enough to build the layer again."""
    deployed = ppeffconv.deploy(octave, backend="reference")
    weights = [tensor.numpy() for tensor in deployed.buffers()]
    again = Deployed(Program.parse(deployed.program.text, weights), "reference")
    x = images((1, 3, 33, 31))
    assert_same(run(again, x), run(deployed, x))
    assert again.uid == deployed.uid


def numbers_of(deployed, x):
    return run(deployed, x).numpy()


@pytest.fixture
def counted(monkeypatch):
    """How often weights were hashed."""
    calls = []
    original = hashlib.sha256
    monkeypatch.setattr(layer.hashlib, "sha256", lambda *data: calls.append(1) or original(*data))
    return calls


def test_reading_a_state_costs_nothing(octave, counted):
    deployed = ppeffconv.deploy(octave)
    uid = deployed.uid
    assert len(counted) == 1
    for net in (deployed, nn.Sequential(deployed)):
        net.state_dict()
        net.to_static_state_dict()
        copy.copy(net).buffers()
        net.set_state_dict({})
        assert deployed.uid == uid
    assert len(counted) == 1


def middle(deployed):
    """The state dict with one number changed, in the middle of the largest weight."""
    state = {name: value.numpy() for name, value in deployed.state_dict().items()}
    name = max(state, key=lambda name: state[name].size)
    state[name].ravel()[state[name].size // 3] += 100.0
    return name, state[name]


CHANGES = {
    "set_value": lambda net, name, values: getattr(net, name).set_value(values),
    "set_value of a tensor": lambda net, name, values: net.state_dict()[name].set_value(paddle.to_tensor(values)),
    "set_state_dict": lambda net, name, values: net.set_state_dict({name: values}),
    "of a network around": lambda net, name, values: nn.Sequential(net).set_state_dict({f"0.{name}": values}),
    "copy_": lambda net, name, values: getattr(net, name).copy_(paddle.to_tensor(values), True),
    "an operator": lambda net, name, values: getattr(net, name).add_(paddle.to_tensor(values) - getattr(net, name)),
    "an index": lambda net, name, values: getattr(net, name).__setitem__(slice(None), paddle.to_tensor(values)),
    "another tensor": lambda net, name, values: setattr(net, name, paddle.to_tensor(values)),
    "a buffer": lambda net, name, values: net._buffers.__setitem__(name, paddle.to_tensor(values)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("copied", [False, True])
def test_a_weight_changed_in_its_middle_is_noticed(octave, change, copied):
    deployed = ppeffconv.deploy(octave)
    deployed = copy.deepcopy(deployed) if copied else deployed
    x = images((1, 3, 33, 31))
    before, uid = numbers_of(deployed, x), deployed.uid
    change(deployed, *middle(deployed))
    after = numbers_of(deployed, x)
    assert deployed.uid != uid
    assert np.abs(after - before).max() > 1e-4
    deployed.backend = "reference"
    np.testing.assert_allclose(after, numbers_of(deployed, x), atol=1e-4 * after.std())


def test_only_the_present_weights_are_held(octave):
    deployed = ppeffconv.deploy(octave)
    held = set(_holders)
    for factor in (1.1, 1.2, 1.3):
        deployed.set_state_dict({name: value * factor for name, value in deployed.state_dict().items()})
        uid = deployed.uid
        assert set(_holders) - held == {uid}


def test_other_buffers_are_left_alone(octave):
    """As `paddle.flops` registers them."""
    deployed = ppeffconv.deploy(octave)
    x = images((1, 3, 33, 31))
    before, uid = numbers_of(deployed, x), deployed.uid
    paddle.flops(deployed, [1, 3, 32, 32])
    deployed.register_buffer("scale", paddle.ones([3]))
    assert deployed.uid == uid
    np.testing.assert_array_equal(numbers_of(deployed, x), before)
    deployed.backend = "reference"
    np.testing.assert_allclose(numbers_of(deployed, x), before, atol=1e-4 * before.std())


@pytest.mark.parametrize("sizes", [(2, 3, 33, 31), (-1, 3, 33, 31), (-1, 3, -1, -1), (2, 3, -1, 31)])
@pytest.mark.parametrize("features", [False, True])
def test_shapes_of_a_trace(sizes, features):
    """What is known of the input stays known of the outputs; the rest is unknown, and never a guess."""
    need("auto")
    deployed = ppeffconv.deploy(create("oct_resnet20", features_only=features))
    deployed.traced_backend, _ = "cpu", deployed.uid
    spec = paddle.static.InputSpec([None if side < 0 else side for side in sizes], "float32")
    program = paddle.jit.to_static(deployed.forward, input_spec=[spec], full_graph=True).concrete_program
    known = run(deployed, images([2 if side < 0 else side for side in sizes]))
    # the values live as long as their program
    for got, y in zip(program.outputs, known if features else [known], strict=True):
        expected = [-1 if sizes[0] < 0 else 2, *y.shape[1:]]
        if features:
            expected[2:] = [-1 if side < 0 else known for side, known in zip(sizes[2:], y.shape[2:])]
        assert list(got.shape) == expected


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_trace_of_images_that_are_too_small(backend):
    need(backend)
    deployed = ppeffconv.deploy(nn.Sequential(nn.Conv2D(3, 8, 5), nn.BatchNorm2D(8), nn.ReLU()))
    deployed.traced_backend, _ = backend, deployed.uid
    spec = paddle.static.InputSpec([None, 3, 4, 9], "float32")
    with pytest.raises(ValueError, match="the input is too small: 'conv v1"):
        paddle.jit.to_static(deployed.forward, input_spec=[spec], full_graph=True).concrete_program  # noqa: B018
