"""Our layers and networks, loaded with the authors' weights, give the authors' outputs and gradients."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from ppeffconv.weights import load_reference, reference_keys

from . import cases

VALUE_TOLERANCE, GRADIENT_TOLERANCE, NETWORK_TOLERANCE = 1e-4, 1e-3, 1e-3


def spread(array: np.ndarray) -> float:
    """The scale that tolerances refer to: the standard deviation, or the magnitude of a single number."""
    return float(array.std() if array.size > 1 else np.abs(array).max())


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float, floor: float = 0.0) -> bool:
    """Whether the largest deviation is within ``tolerance`` of the authors' spread (or of ``floor``, if larger)."""
    return ours.shape == theirs.shape and np.abs(ours - theirs).max() <= tolerance * max(spread(theirs), floor)


def run(name: str, case: dict, stored: dict):
    """Outputs, inputs and layer of a case after the backward pass of sum_i (y_i * g_i)."""
    layer, source = cases.build(name, case["args"])
    load_reference(layer, cases.state_of(case), source)
    layer.train() if case["train"] else layer.eval()
    inputs = [
        paddle.to_tensor(cases.tensor(f"x{i}", s, case["salt"]), stop_gradient=False) for i, s in enumerate(case["x"])
    ]
    if name.startswith("sampling"):
        noise = [paddle.to_tensor(stored[f"u{i}"]) for i in range(4)]
        outputs = [layer(inputs[0], noise=noise), layer.auxiliary_losses()["sparse"]]
    else:
        outputs = layer(inputs[0] if len(inputs) == 1 else tuple(inputs))
        outputs = [y for y in outputs if y is not None] if isinstance(outputs, tuple) else [outputs]
    loss = sum((y * paddle.to_tensor(cases.tensor(f"g{i}", list(y.shape)))).sum() for i, y in enumerate(outputs))
    loss.backward()
    return layer, source, inputs, outputs


@pytest.mark.parametrize("name", cases.CASES)
def test_layer_equals_the_authors_code(name):
    case, stored = cases.CASES[name], cases.expected(name)
    layer, source, inputs, outputs = run(name, case, stored)
    assert len(outputs) == sum(key.startswith("y") for key in stored)
    for i, y in enumerate(outputs):
        assert close(y.numpy().reshape(stored[f"y{i}"].shape), stored[f"y{i}"], VALUE_TOLERANCE), f"y{i}"
    for i, x in enumerate(inputs):
        assert close(x.grad.numpy(), stored[f"gx{i}"], GRADIENT_TOLERANCE), f"gx{i}"
    parameters = dict(layer.named_parameters())
    gradients = [key for key in stored if key.startswith("gp:")]
    assert gradients
    # a bias before a BatchNorm in training mode has gradient 0: what is stored of it is rounding, of the others' scale
    floor = 1e-2 * max(spread(stored[entry]) for entry in gradients)
    keys = reference_keys(layer, cases.state_of(case), source)
    for entry in gradients:
        grad = parameters[keys[entry[3:]]].grad
        assert close(grad.numpy().reshape(stored[entry].shape), stored[entry], GRADIENT_TOLERANCE, floor), entry


@pytest.mark.parametrize("name", cases.NETS)
def test_network_equals_the_authors_code(name):
    case = cases.NETS[name]
    net, source = cases.build_net(name)
    load_reference(net, cases.state_of(case), source)
    net.eval()
    with paddle.no_grad():
        y = net(paddle.to_tensor(cases.tensor("x0", case["x"], case["salt"])))
    theirs = cases.expected(f"net_{name}")["y"]
    assert abs(theirs.std() / case["y_std"] - 1) < 1e-3
    assert close(y.numpy(), theirs, NETWORK_TOLERANCE)


def test_a_perturbed_weight_fails():
    """The tolerance is tight enough to notice one weight of 144 that is off by 2 %."""
    name = "spconv_s1_eval"
    case, stored = cases.CASES[name], cases.expected(name)
    layer, source = cases.build(name, case["args"])
    load_reference(layer, cases.state_of(case), source)
    layer.eval()
    weight = layer.gwc.weight.numpy()
    weight[0, 0, 1, 1] *= 1.02
    layer.gwc.weight.set_value(weight)
    with paddle.no_grad():
        y = layer(paddle.to_tensor(cases.tensor("x0", case["x"][0], case["salt"])))
    assert not close(y.numpy(), stored["y0"], VALUE_TOLERANCE)
