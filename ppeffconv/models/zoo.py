"""The networks of the papers beyond ResNet and VGG, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paddle import nn

from ..layers import METHODS
from .alexnet import alexnet
from .blocks import Variant
from .densenet import densenet
from .factory import IMAGENET_RESNETS, MODELS, RESNET_ARGUMENTS, build_network
from .i3d import I3D
from .mobilenet import mobilenet_v1, mobilenet_v2
from .octave_resnet import OctaveResNet
from .resnet import ResNet

RESNEXT, SE = Variant(groups=32, width_per_group=4), Variant(squeeze=True)
# plain and oct_: name, depth, variant
BOTTLENECKS = (
    ("se_resnet50", 50, SE),
    ("se_resnet101", 101, SE),
    ("resnext50_32x4d", 50, RESNEXT),
    ("resnext101_32x4d", 101, RESNEXT),
)
# oct_ alone, because a strided 1x1 convolution must be a pooled one: name, stem, variant
AUTHORS_RESNETS = tuple(
    (f"{prefix}resnet152_{version}", stem, variant)
    for version, stem in (("v1e", "deep"), ("v1f", "deep_v1f"))
    for prefix, variant in (
        ("", Variant(stride_last=True)),
        ("se_", Variant(stride_last=True, squeeze=True, input_norm=True)),
    )
)
MOBILE_ARGUMENTS = ("num_classes", "in_channels", "scale", "features_only", "out_indices")
DENSE_ARGUMENTS = ("num_classes", "in_channels", "features_only", "out_indices")
VIDEO_ARGUMENTS = ("num_classes", "in_channels")
NAMES: list[str] = []
"""What is registered here."""


def register_networks() -> None:
    """Add them to the registry of models."""
    for name, depth, variant in BOTTLENECKS:
        blocks = IMAGENET_RESNETS[depth]
        _register(name, partial(ResNet, *blocks, variant=variant), RESNET_ARGUMENTS)
        _register(f"oct_{name}", partial(OctaveResNet, *blocks, variant=variant), RESNET_ARGUMENTS, ["alpha"])
    for name, stem, variant in AUTHORS_RESNETS:
        octave = partial(OctaveResNet, *IMAGENET_RESNETS[152], stem=stem, variant=variant)
        _register(f"oct_{name}", octave, RESNET_ARGUMENTS, ["alpha"])
    for method in ("plain", "ddf"):
        resnet_d = partial(ResNet, *IMAGENET_RESNETS[50], method, stem="deep", variant=Variant(pooled_shortcut=True))
        _register(f"{_prefix(method)}resnet50d", resnet_d, RESNET_ARGUMENTS, _own(method))
    for method in ("plain", "versatile"):
        _register(f"{_prefix(method)}alexnet", partial(alexnet, method), ("num_classes", "in_channels"), _own(method))
    for name, network, arguments in (
        ("mobilenet_v1", mobilenet_v1, MOBILE_ARGUMENTS),
        ("mobilenet_v2", mobilenet_v2, MOBILE_ARGUMENTS),
        ("densenet121", partial(densenet, (6, 12, 24, 16)), DENSE_ARGUMENTS),
        ("i3d50", I3D, VIDEO_ARGUMENTS),
        ("c2d50", partial(I3D, inflated=False), VIDEO_ARGUMENTS),
    ):
        _register(name, partial(_plain, network), arguments)
        _register(f"oct_{name}", partial(_octave, network), arguments, ["alpha"])


def _register(name: str, network: Callable[..., nn.Layer], arguments: tuple[str, ...], own: list[str] = ()) -> None:
    NAMES.append(name)
    MODELS.register(name)(partial(build_network, network, arguments, own, name))


def _prefix(method: str) -> str:
    return "" if method == "plain" else f"{method}_"


def _own(method: str) -> list[str]:
    return [] if method == "plain" else METHODS.get(method).own_arguments()


def _plain(network: Callable[..., nn.Layer], method_kwargs: dict[str, Any], **kwargs: Any) -> nn.Layer:
    return network(**kwargs)


def _octave(network: Callable[..., nn.Layer], method_kwargs: dict[str, Any], **kwargs: Any) -> nn.Layer:
    return network(alpha=method_kwargs.get("alpha", 0.5), **kwargs)
