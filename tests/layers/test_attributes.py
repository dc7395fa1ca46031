"""What every layer takes: integers of NumPy, numbers for each direction, and attributes of its weights."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import ParamAttr, nn
from paddle.regularizer import L2Decay
from paddle.utils import unique_name

import ppeffconv
from ppeffconv import layers
from ppeffconv.models import FPN

from .public import LAYERS, WITH_ATTRIBUTES, Case, inputs_of, outputs_of

SQUARE = {"kernel_size": 3, "stride": 1, "padding": 1, "dilation": 1}
PLAIN = {"in_channels": 8, "out_channels": 8, **SQUARE}
BLOCK = {"in_channels": 8, "stride": 1, "dilation": 1, "window": 3, "grid_stride": 2}
NUMBERS = {
    layers.Conv2D: {**PLAIN, "groups": 2},
    layers.OctConv2D: {**PLAIN, "groups": 2},
    layers.OctConvBNAct: PLAIN,
    layers.OctConvBNReLU6: PLAIN,
    layers.TensorOctConv2D: PLAIN,
    layers.OctConv3D: {"in_channels": 8, "out_channels": 8, "kernel_size": (3, 3, 3), "stride": 1},
    layers.OctConv3DBNAct: {"in_channels": 8, "out_channels": 8, "kernel_size": (3, 3, 3), "stride": 2},
    layers.SPConv2D: {"in_channels": 8, "out_channels": 8, "stride": 2, "groups": 2, "dilation": 1},
    layers.VersatileConv2D: {**PLAIN, "groups": 1, "delta": 2, "g": 1},
    layers.LearnedVersatileConv2D: {**PLAIN, "groups": 1, "s": 2},
    layers.DDF2D: {"channels": 8, "kernel_size": 3, "stride": 2, "dilation": 1, "heads": 2},
    layers.DDFSeparable2D: {"in_channels": 8, "out_channels": 8, "stride": 1, "kernel_size": 3},
    layers.DDFUpsample2D: {"channels": 8, "scale": 2, "kernel_size": 3, "dilation": 1, "heads": 2, "dw_kernel_size": 3},
    layers.CARAFEUpsample2D: {"channels": 8, "scale": 2, "compressed_channels": 4, "kernel_size": 3},
    layers.NearestUpsample2D: {"channels": 8},
    layers.BilinearUpsample2D: {"channels": 8},
    layers.DeconvUpsample2D: {"channels": 8},
    layers.PixelShuffleUpsample2D: {"channels": 8},
    layers.DeformableConv2D: {"in_channels": 8, "out_channels": 8, "stride": 1, "dilation": 1},
    layers.ReLUGatedConv2D: {**PLAIN, "groups": 2},
    layers.GhostConv2D: {**PLAIN, "groups": 2, "ratio": 2, "dw_size": 3},
    layers.HetConv2D: {**PLAIN, "groups": 1, "p": 2},
    layers.SqueezeExcitation: {"channels": 8, "reduction": 4},
    layers.OctaveSqueezeExcitation: {"channels": 8, "reduction": 4},
    layers.OctaveNormAct: {"split": (4, 4)},
    layers.SampledBasicBlock: {**BLOCK, "channels": 8},
    layers.SampledBottleneck: {**BLOCK, "channels": 4, "stride": 2},
    layers.DeformableSampledBottleneck: {**BLOCK, "channels": 4},
    layers.FilterNorm: {"channels": 8, "kernel_size": 3},
}
EXTRA = {layers.FilterNorm: {"filter_type": "channel"}}
INPUTS = {case.build().__class__: case.inputs for case in LAYERS.values()}
NOT_PLAIN = ("mask", "collaborative", "offset")  # what predicts masks, gates and offsets


def is_weight(name: str, parameter: paddle.Tensor) -> bool:
    return parameter.ndim >= 4 and not any(word in name for word in NOT_PLAIN)


@pytest.mark.parametrize("name", WITH_ATTRIBUTES)
def test_attributes_reach_the_weights_and_nothing_else(name):
    own = unique_name.generate("mine")  # Paddle refuses a name that was given before
    attribute = ParamAttr(
        own, nn.initializer.Constant(0.5), learning_rate=0.25, regularizer=L2Decay(0.125), trainable=False
    )
    parameters = dict(WITH_ATTRIBUTES[name].build(weight_attr=attribute).named_parameters())
    assert any(is_weight(key, parameter) for key, parameter in parameters.items())
    for key, parameter in parameters.items():
        given = is_weight(key, parameter)
        assert (parameter.optimize_attr["learning_rate"] == 0.25) == given, key
        assert parameter.name.startswith(own) == given, key
        if given:
            assert (parameter.numpy() == 0.5).all(), key
            assert parameter.regularizer._coeff == 0.125
            assert parameter.stop_gradient
    assert len({parameter.name for parameter in parameters.values()}) == len(parameters)


@pytest.mark.parametrize("name", WITH_ATTRIBUTES)
def test_without_an_initializer_the_start_is_ours(name):
    states = []
    for weight_attr in (None, True, ParamAttr(learning_rate=0.5)):
        paddle.seed(0)
        states.append(WITH_ATTRIBUTES[name].build(weight_attr=weight_attr).state_dict())
    for state in states[1:]:
        for key, value in states[0].items():
            np.testing.assert_array_equal(state[key].numpy(), value.numpy(), err_msg=key)


@pytest.mark.parametrize("name", WITH_ATTRIBUTES)
def test_no_layer_is_without_weights(name):
    with pytest.raises(ValueError, match="weight_attr must be a paddle.ParamAttr.* got False"):
        WITH_ATTRIBUTES[name].build(weight_attr=False)


def test_attributes_come_in_the_forms_of_paddle():
    for form in (nn.initializer.Constant(2.0), L2Decay(0.5), ParamAttr()):
        conv = layers.Conv2D(4, 4, 3, bias_attr=form, weight_attr=form)
        assert conv.weight.shape == [4, 4, 3, 3]
        assert conv.bias.shape == [4]
    name = unique_name.generate("mine")
    assert layers.Conv2D(4, 4, 3, weight_attr=name).weight.name == name
    with pytest.raises(ValueError, match=f"another parameter has the name '{name}'"):
        layers.Conv2D(4, 4, 3, weight_attr=name)
    for wrong in ([None], 0.5):
        with pytest.raises(ValueError, match="Conv2D: weight_attr must be a paddle.ParamAttr"):
            layers.Conv2D(4, 4, 3, weight_attr=wrong)
        with pytest.raises(ValueError, match="bias_attr must be a paddle.ParamAttr"):
            layers.Conv2D(4, 4, 3, bias_attr=wrong)


@pytest.mark.parametrize("layer", [layers.OctConv2D, layers.OctConv3D])
def test_two_biases_do_not_share_a_name(layer):
    name = unique_name.generate("mine")
    conv = layer(**NUMBERS[layer], bias_attr=name)
    assert sorted(p.name for p in conv.parameters() if p.ndim == 1) == [f"{name}_0", f"{name}_1"]


@pytest.mark.parametrize("method", [name for name in layers.METHODS.list() if name != "sampled"])
def test_slots_hand_weight_attributes_on(method):
    conv = layers.build_conv(method, 8, 8, 3, weight_attr=nn.initializer.Constant(0.5))
    for key, parameter in conv.named_parameters():
        if is_weight(key, parameter):
            assert (parameter.numpy() == 0.5).all(), key


def numpy_integers(value):
    return tuple(map(np.int64, value)) if isinstance(value, tuple) else np.int64(value)


def build(layer: type, numbers: dict) -> tuple[nn.Layer, list]:
    paddle.seed(0)
    inputs = inputs_of(Case(None, INPUTS.get(layer, ((2, 8, 6, 5),))))
    made = layer(**numbers, **EXTRA.get(layer, {}))
    paddle.seed(0)
    return made, outputs_of(made, inputs)


def check_same(layer: type, changed: dict) -> None:
    plain, expected = build(layer, NUMBERS[layer])
    other, outputs = build(layer, changed)
    assert {k: v.shape for k, v in other.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("layer", NUMBERS)
def test_integers_of_numpy_do_what_pythons_do(layer):
    check_same(layer, {name: numpy_integers(value) for name, value in NUMBERS[layer].items()})


def test_networks_take_integers_of_numpy():
    def shapes(integer) -> dict:
        eight, pyramid = integer(8), FPN([integer(8)] * 2, (integer(4), integer(8)), integer(8))
        net = ppeffconv.create_model("oct_resnet20", num_classes=integer(3), width=eight, in_channels=integer(3))
        return {k: v.shape for part in (net, pyramid) for k, v in part.state_dict().items()}

    assert shapes(np.int64) == shapes(int)


@pytest.mark.parametrize("layer", NUMBERS)
def test_truths_and_fractions_are_no_integers(layer):
    for name, value in NUMBERS[layer].items():
        for wrong in (True, 1.5, "1"):
            with pytest.raises(ValueError, match=name):
                build(layer, {**NUMBERS[layer], name: (wrong,) * len(value) if isinstance(value, tuple) else wrong})


PER_AXIS = ("kernel_size", "stride", "padding", "dilation")
TWICE = [layer for layer, numbers in NUMBERS.items() if "stride" in numbers or "dilation" in numbers]


@pytest.mark.parametrize("layer", TWICE)
def test_equal_numbers_of_both_axes_are_one(layer):
    numbers = NUMBERS[layer]
    twice = {name: (numbers[name],) * 2 for name in PER_AXIS if isinstance(numbers.get(name), int)}
    check_same(layer, {**numbers, **twice})


@pytest.mark.parametrize("layer", [layer for layer in TWICE if "stride" in NUMBERS[layer]])
def test_other_numbers_work_or_are_refused(layer):
    unequal = {**NUMBERS[layer], "stride": (1, 2)}
    if layer in (layers.Conv2D, layers.VersatileConv2D, layers.LearnedVersatileConv2D, layers.DeformableConv2D):
        inputs = inputs_of(Case(None, INPUTS[layer]))
        if layer is layers.DeformableConv2D:
            inputs[1] = inputs[1][:, :, :, ::2]
        assert outputs_of(layer(**unequal), inputs)[0].shape[2:] == [6, 3]
    elif layer in (layers.ReLUGatedConv2D, layers.GhostConv2D, layers.HetConv2D):
        assert build(layer, unequal)[1][0].shape[2:] == [6, 3]
    else:
        with pytest.raises(ValueError, match=r"stride must be .* got \(1, 2\)"):
            layer(**unequal)
