"""Single layers of every method, with the arguments that networks do not use."""

from __future__ import annotations

import paddle
import pytest
from paddle import nn
from paddle.vision.models.resnet import BasicBlock

import ppeffconv
from ppeffconv import layers
from ppeffconv.deployed import Deployed
from ppeffconv.layers.slot import DDFSeparable2D
from ppeffconv.models.densenet import DenseLayer

from .networks import check, images, need, run, trained

SIZES = ((1, 17, 23), (3, 16, 15))
octave = layers.OctConvBNAct
LAYERS = {
    "conv": lambda: nn.Sequential(nn.Conv2D(6, 8, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(2, 1), groups=2)),
    "sp": lambda: layers.SPConv2D(6, 8, 2, ratio=0.34),
    "sp dilated": lambda: layers.SPConv2D(6, 8, dilation=2, pointwise_bias=False),
    "versatile 5": lambda: layers.VersatileConv2D(6, 10, 5, padding=1),
    "versatile 7": lambda: layers.VersatileConv2D(6, 10, 7, stride=2, dilation=2, padding=2),
    "versatile grouped": lambda: layers.VersatileConv2D(6, 8, 3, padding=1, groups=2, bias_attr=False),
    "versatile shifted": lambda: layers.VersatileConv2D(6, 10, 3, padding=1, delta=2, g=2),
    "versatile 1x1": lambda: layers.VersatileConv2D(6, 10, 1, delta=1, channel_mode="reference"),
    "learned": lambda: layers.LearnedVersatileConv2D(6, 10, 3, s=3, mask_values="sign"),
    "learned shared": lambda: layers.LearnedVersatileConv2D(6, 10, 3, shared=True, groups=2, s=5),
    "ddf": lambda: layers.DDF2D(6, kernel_size=5, stride=2, heads=3),
    "ddf add": lambda: layers.DDF2D(6, dilation=3, mode="add"),
    "ddf separable": lambda: nn.Sequential(DDFSeparable2D(6, 8, stride=2), nn.BatchNorm2D(8)),
    "ddf up": lambda: layers.DDFUpsample2D(6, 2, heads=3, mode="add"),
    "ddf up 3": lambda: layers.DDFUpsample2D(6, 3, kernel_size=5, dilation=2, dw_kernel_size=5),
    "ghost": lambda: layers.GhostConv2D(6, 9, 3, stride=2, padding=1, relu=False),
    "het": lambda: layers.HetConv2D(6, 8, 5, padding=0, stride=2, p=2, bias_attr=None),
    "het padded": lambda: layers.HetConv2D(6, 8, 3, padding=2, p=2),
    "gated": lambda: layers.ReLUGatedConv2D(6, 8, 3, padding=0, stride=2, shared=False, bias_attr=None),
    "sampled": lambda: layers.SampledBottleneck(6, 4, stride=2, dilation=2, eval_mode="deterministic"),
    "sampled basic": lambda: layers.SampledBasicBlock(6, 6, eval_mode="deterministic", window=3, grid_stride=4),
    "octave from one map": lambda: layers.OctConv2D(6, 8, 3, alpha_in=0, padding=1, bias_attr=None),
    "octave from a low map": lambda: layers.OctConv2D(6, 8, 3, alpha_in=1, padding=1),
    "octave to one map": lambda: octave(6, 8, 3, alpha_in=0, alpha_out=0, padding=1, stride=2),
    "octave pairs": lambda: nn.Sequential(
        octave(6, 8, 3, alpha_in=0, padding=1, bias_attr=None),
        octave(8, 8, 3, padding=1, groups=8),
        octave(8, 8, 3, padding=1, groups=2, stride=2),
        octave(8, 8, 3, padding=2, dilation=2, stride=2, act=False),
        octave(8, 6, 1, alpha_out=1),
    ),
    "octave relu6": lambda: nn.Sequential(
        layers.OctConvBNReLU6(6, 8, 3, alpha_in=0, padding=1),
        layers.OctConvBNReLU6(8, 8, 3, padding=1, groups=8, stride=2),
        layers.OctConvBNReLU6(8, 6, 1, alpha_out=0),
    ),
    "octave norms and pooling": lambda: nn.Sequential(
        layers.OctaveNormAct((6, 0)),
        layers.OctConv2D(6, 8, 3, alpha_in=0, padding=1),
        layers.OctaveNormAct((4, 4)),
        layers.OctaveAvgPool2D(),
    ),
    "dense": lambda: nn.Sequential(DenseLayer((6, 0), (8, 0), (3, 0), True), nn.BatchNorm2D(9), nn.ReLU()),
    "dense octave": lambda: nn.Sequential(
        layers.OctConv2D(6, 8, 3, alpha_in=0, padding=1),
        DenseLayer((4, 4), (6, 6), (3, 2), False),
        DenseLayer((7, 6), (6, 0), (3, 0), False),
    ),
    "dense octave of a map": lambda: DenseLayer((6, 0), (6, 2), (3, 1), False),
    "octave low to high": lambda: nn.Sequential(
        octave(6, 8, 3, alpha_in=0, alpha_out=1, padding=1), octave(8, 8, 3, alpha_in=1, alpha_out=0, padding=1)
    ),
}


def build(case: str) -> nn.Layer:
    paddle.seed(0)
    return trained(LAYERS[case](), 6, (17, 23))


@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_layer(case, backend):
    need(backend)
    layer = build(case)
    deployed = ppeffconv.deploy(layer, backend=backend)
    assert isinstance(deployed, Deployed)
    check(layer, deployed, 6, SIZES)


@pytest.mark.parametrize("case", ["sp", "versatile 5", "ddf", "ghost", "het", "gated"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_norm_and_activation_behind_a_layer(case, backend):
    """Some of the norm's scales are negative, one is 0."""
    need(backend)
    layer = LAYERS[case]()
    width = run(layer, images((1, 6, 17, 23))).shape[1]
    net = trained(nn.Sequential(layer, nn.BatchNorm2D(width), nn.ReLU6()), 6, (17, 23))
    scale = net[1].weight.numpy()
    scale[:3] = -0.7, 0.0, -1.2
    net[1].weight.set_value(scale)
    check(net, ppeffconv.deploy(net, backend=backend), 6, SIZES)


@pytest.mark.parametrize(
    "name", ["ReLU", "ReLU6", "Hardswish", "Hardsigmoid", "Sigmoid", "Swish", "Silu", "Identity", "Dropout"]
)
def test_activations(name):
    """After a convolution, after an activation, and after a pooling, which cannot take it in."""
    act = getattr(nn, name)
    net = nn.Sequential(nn.Conv2D(6, 4, 3), act(), nn.ReLU(), act(), nn.AvgPool2D(3, 2, 1), act(), nn.MaxPool2D(2))
    net.eval()
    check(net, ppeffconv.deploy(net), 6, SIZES)


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling(ceil):
    pools = [nn.MaxPool2D(3, 2, padding=1, ceil_mode=ceil), nn.AvgPool2D((2, 3), (2, 1), ceil_mode=ceil)]
    net = nn.Sequential(nn.Conv2D(6, 4, 1), *pools, nn.AdaptiveAvgPool2D((3, 2)), nn.Flatten(), nn.Linear(24, 5))
    check(net, ppeffconv.deploy(net), 6, SIZES)


def test_norms_without_parameters_and_in_a_row():
    net = nn.Sequential(
        nn.BatchNorm2D(6),
        nn.Conv2D(6, 4, 3, padding=1),
        nn.BatchNorm2D(4, weight_attr=False, bias_attr=False),
        nn.BatchNorm2D(4),
        nn.ReLU(),
        nn.BatchNorm2D(4),
    )
    for norm in (net[0], net[2], net[3], net[5]):
        norm._mean.set_value(paddle.randn(norm._mean.shape) * 0.3)
        norm._variance.set_value(paddle.rand(norm._variance.shape) + 0.5)
    net.eval()
    deployed = ppeffconv.deploy(net)
    assert [step.op for step in deployed.program.steps] == ["affine", "conv", "affine"]
    check(net, deployed, 6, SIZES)


class _NormAct(nn.BatchNorm2D):
    def forward(self, x):
        return paddle.nn.functional.relu(super().forward(x))


def test_a_norm_that_does_more_is_not_folded():
    told = ppeffconv.deploy(nn.Sequential(nn.Conv2D(3, 8, 3), _NormAct(8))).report()
    assert "1 (_NormAct): no deploy form of this class is known" in told
    net = trained(BasicBlock(8, 8, norm_layer=_NormAct), channels=8)
    told = ppeffconv.deploy(net).report()
    assert "_NormAct is no batch normalisation" in told
