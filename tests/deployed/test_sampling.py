"""Hard masks, their noise, and densities."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import ppeffconv
from ppeffconv import layers
from ppeffconv.deployed.reference_sampling import noise
from ppeffconv.layers import set_eval_mode

from .networks import assert_same, create, images, need, run, trained

WORD = 2**32 - 1


def uniform(y: int, x: int, width: int, stream: int, seed: int) -> float:
    """The noise in Python's own integers."""
    v = (y * width + x + 0x9E3779B9 * (stream + 1) + 0x85EBCA6B * seed) & WORD
    v ^= v >> 16
    v = v * 0x7FEB352D & WORD
    v ^= v >> 15
    v = v * 0x846CA68B & WORD
    v ^= v >> 16
    return ((v >> 8) + 0.5) * 2.0**-24


@pytest.mark.parametrize(("stream", "seed"), [(0, 0), (31, 12345), (2, 2**31 - 1)])
def test_noise_is_the_hash(stream, seed):
    expected = [[uniform(y, x, 9, stream, seed) for x in range(9)] for y in range(6)]
    np.testing.assert_array_equal(noise(6, 9, stream, seed).numpy(), np.array(expected, "float32"))


def test_noise_looks_uniform():
    u = np.stack([noise(64, 64, stream, seed).numpy() for stream in range(2) for seed in range(2)])
    np.testing.assert_allclose(u.mean((1, 2)), 0.5, atol=0.02)
    np.testing.assert_allclose(u.std((1, 2)), 12**-0.5, atol=0.02)
    correlation = np.corrcoef(u.reshape(4, -1)) - np.eye(4)
    assert abs(correlation).max() < 0.06
    assert abs(np.corrcoef(u[0, :, 1:].ravel(), u[0, :, :-1].ravel())[0, 1]) < 0.06


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("kind", [layers.SampledBottleneck, layers.SampledBasicBlock])
def test_block_with_the_same_noise(kind, backend):
    """The block's own Gumbel noise, made from the uniform numbers of the program, gives the same hard masks."""
    need(backend)
    block = trained(kind(8, 8, stride=2, eval_mode="hard", window=5, grid_stride=6), 8, (17, 23))
    deployed = ppeffconv.deploy(block, seed=11, backend=backend)
    x = images((2, 8, 19, 22))
    sizes = [step.output_shape for step in deployed.program.trace(x.shape) if step.step.op == "mask"]
    draws = []
    for stream, (batch, _, height, width) in enumerate(sizes):
        u = noise(height, width, stream, 11).numpy().astype("float64")
        # u < sigmoid(logit) is logit + G1 - G0 > 0 for G1 - G0 = log((1 - u) / u); one of them is 0
        pair = np.exp(-np.minimum(u / (1 - u), 1)), np.exp(-np.minimum((1 - u) / u, 1))
        draws += [paddle.to_tensor(np.tile(d, (batch, 1, 1, 1)).astype("float32")) for d in pair]
    with paddle.no_grad():
        expected = block(x, draws)
    assert_same(run(deployed, x), expected)
    assert all(0.2 < value < 0.9 for value in deployed.densities.values())
    shares = [float(value) for value in block.densities()]
    np.testing.assert_allclose(list(deployed.densities.values()), shares, atol=1e-6)


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_seed_and_neighbours(backend):
    """Another seed gives other masks; an image's result does not depend on the rest of its batch."""
    need(backend)
    net = create("sampled_resnet20")
    set_eval_mode(net, "hard")
    x = images((3, 3, 31, 33))
    deployed = ppeffconv.deploy(net, seed=1, backend=backend)
    y = run(deployed, x)
    assert_same(run(deployed, x[1:2]), y[1:2])
    assert_same(run(ppeffconv.deploy(net, seed=1, backend=backend), x), y)
    other = run(ppeffconv.deploy(net, seed=2, backend=backend), x)
    assert float((other - y).abs().max()) > 1e-3 * float(y.std())


def test_densities_and_labels():
    net = create("sampled_resnet20")
    deployed = ppeffconv.deploy(net)
    assert deployed.densities == {}
    x = images((2, 3, 33, 47))
    report = deployed.report(x, rounds=1)
    run(net, x)
    expected = {
        f"{name}.conv{i}_mask": float(value)
        for name, layer in net.named_sublayers()
        if isinstance(layer, layers.SampledBasicBlock)
        for i, value in enumerate(layer.densities(), start=1)
    }
    assert list(deployed.densities) == list(expected)
    np.testing.assert_allclose(list(deployed.densities.values()), list(expected.values()), atol=1e-6)
    assert "at the last densities (mean" in deployed.report((3, 33, 47))
    assert "at the last densities (mean" in report


@pytest.mark.parametrize(
    ("arguments", "quiet"),
    [
        ({"eval_mode": "deterministic"}, True),
        ({"eval_mode": "hard", "sampling": "deterministic"}, True),
        ({"eval_mode": "hard"}, False),
        ({"eval_mode": "reference"}, False),
    ],
)
def test_which_eval_modes_are_noisy(arguments, quiet):
    deployed = ppeffconv.deploy(layers.SampledBottleneck(8, 4, **arguments))
    assert [step["noise"] for step in deployed.program.masks] == [0 if quiet else 1] * 2
    assert [step["stream"] for step in deployed.program.masks] == [0, 1]
    assert ("takes them hard" in deployed.report()) == (arguments["eval_mode"] == "reference")


def test_conv3_runs_before_the_interpolation_and_its_shift_comes_behind():
    deployed = ppeffconv.deploy(layers.SampledBottleneck(8, 4, downsample=None))
    steps = deployed.program.steps
    last = next(step for step in steps if step.out == deployed.program.outputs[0])
    conv3 = next(step for step in steps if step.out == last["in"])
    assert (last.op, conv3.op, conv3["mask"], conv3["bias"]) == ("fill", "conv", last["mask"], None)
    assert last["shift"] is not None
    assert last["act"] == "relu"
