"""`create_model` and `list_models`: every network by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from paddle import nn

from ..layers import METHODS, UniformSampling
from ..registry import Registry, check_names
from ..utils.numbers import plain_arguments
from ..weights import find_pretrained, pretrained_models
from .depth_upsampler import JointUpNet
from .octave_resnet import OctaveResNet
from .resnet import ResNet
from .vgg import VGG16, OctaveVGG16

MODELS = Registry("model", refresh=lambda: _register_own_methods())
METHOD_PREFIXES = ("plain", "sp", "versatile", "learned_versatile", "ddf", "sampled", "gated", "ghost", "het")
# depth: (blocks per stage, bottleneck)
IMAGENET_RESNETS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
OCTAVE_RESNETS = IMAGENET_RESNETS | {26: ((2, 2, 2, 2), True), 200: ((3, 24, 36, 3), True)}
CIFAR_RESNETS = {20: ((3, 3, 3), False), 56: ((9, 9, 9), False)}
RESNET_ARGUMENTS = (
    "num_classes",
    "in_channels",
    "width",
    "output_stride",
    "features_only",
    "out_indices",
    "zero_init_residual",
    "deformable",
)
VGG_ARGUMENTS = ("num_classes", "in_channels", "head")
UP_NETS = {
    "ddf": ("scale", "channels", "guide_channels", "mode", "se_ratio"),
    "plain": ("scale", "channels", "guide_channels"),
}


def build_network(
    network: Callable[..., nn.Layer], common: tuple[str, ...], own: list[str], name: str, /, **kwargs
) -> nn.Layer:
    """Call ``network`` with checked arguments; the method's ``own`` ones go into ``method_kwargs``."""
    check_names(kwargs, [*common, *own], f"model '{name}'")
    method_kwargs = {key: kwargs.pop(key) for key in own if key in kwargs}
    return network(method_kwargs=method_kwargs, **kwargs)


def _uniform(*args: Any, method_kwargs: dict[str, Any], **kwargs: Any) -> nn.Layer:
    """The sampling article's baseline: a plain ResNet on an input of half (or ``scale`` times) the size."""
    return UniformSampling(ResNet(*args, **kwargs), method_kwargs.get("scale", 0.5))


def _up_net(join: str, num_classes: int, **kwargs: Any) -> nn.Layer:
    """A network that upsamples depth; it has no classes, and takes their number for the sake of one signature."""
    check_names(kwargs, UP_NETS[join], f"model '{join}_up_net'")
    return JointUpNet(join=join, **kwargs)


def _register_all() -> None:
    for method in METHOD_PREFIXES:
        _register_method(method)
    _register_resnets("uniform_", _uniform, IMAGENET_RESNETS, ["scale"])
    _register_resnets("oct_", OctaveResNet, OCTAVE_RESNETS, ["alpha"])
    for join in UP_NETS:
        MODELS.register(f"{join}_up_net")(partial(_up_net, join))
    MODELS.register("oct_vgg16")(partial(build_network, OctaveVGG16, VGG_ARGUMENTS, ["alpha"], "oct_vgg16"))


def _register_method(method: str) -> None:
    prefix, own = ("", []) if method == "plain" else (f"{method}_", METHODS.get(method).own_arguments())
    _register_resnets(prefix, partial(ResNet, method=method), IMAGENET_RESNETS, own)
    if method != "sampled":  # sampling works on residual blocks, which VGG does not have
        vgg = partial(VGG16, method)
        MODELS.register(f"{prefix}vgg16")(partial(build_network, vgg, VGG_ARGUMENTS, own, f"{prefix}vgg16"))


def _register_own_methods() -> None:
    """The networks of convolutions that users have registered since."""
    for method in set(METHODS.list()) - _with_networks:
        _with_networks.add(method)
        _register_method(method)


def _register_resnets(prefix: str, network: Callable[..., nn.Layer], imagenet: dict, own: list[str]) -> None:
    variants = [(depth, blocks, {}) for depth, blocks in imagenet.items()]
    variants += [(depth, blocks, {"stem": "cifar", "width": 16}) for depth, blocks in CIFAR_RESNETS.items()]
    for depth, (blocks, bottleneck), fixed in variants:
        name = f"{prefix}resnet{depth}"
        build = partial(network, blocks, bottleneck, **fixed)
        MODELS.register(name)(partial(build_network, build, RESNET_ARGUMENTS, own, name))


_register_all()
_with_networks = {*METHOD_PREFIXES, "oct", "ddf_separable"}


@plain_arguments
def create_model(
    name: str, pretrained: bool | str | Path = False, num_classes: int | None = None, **kwargs: Any
) -> nn.Layer:
    """Build a network by name: Tensor [N, in_channels, H, W] -> logits [N, num_classes].

    Those named ``*_up_net`` upsample depth and have no classes: see `JointUpNet`.

    Args:
        name: see `list_models`.
        pretrained: False for random weights; True for the first published ones (see `list_models`); the tag of others,
            such as "paddle" (`python -m ppeffconv.weights list` shows them; networks of a method take the layers that
            fit); the path of a weight file with this package's names; or an https address of one, perhaps with
            "#sha256=<digits>" at its end. Published weights bring the arguments that they need.
        num_classes: width of the classifier; default: 1000, or that of the published weights. Another width than theirs
            leaves the classifier random.
        kwargs: in_channels=3; for ResNets width (of the first stage: 64, or 16 with a CIFAR stem), output_stride=32,
            features_only=False, out_indices, zero_init_residual, deformable=False (see `ResNet`), for VGG
            head="imagenet"|"cifar"; and the method's own arguments (alpha, ratio, delta, mode, se_ratio, window, ...).

    Raises:
        ValueError: unknown name or argument (with the nearest known one), or weights that do not fit.
        FileNotFoundError: no such weight file, or ``pretrained=True`` where no published weights are known.
        RuntimeError: weights that could not be downloaded or read.
    """
    network = MODELS.get(name)
    weights = find_pretrained(name, pretrained)
    if weights is None:
        return network(num_classes=1000 if num_classes is None else num_classes, **kwargs)
    net = network(num_classes=weights.classes if num_classes is None else num_classes, **weights.arguments(kwargs))
    weights.load(net)
    return net


def list_models(pattern: str = "*", pretrained: bool = False) -> list[str]:
    """Names of the networks that match a shell wildcard ("sp_*"), in natural order.

    Args:
        pretrained: only those with published weights that `create_model` can fetch.
    """
    known = pretrained_models() if pretrained else MODELS
    return [name for name in MODELS.list(pattern) if name in known]
