"""Parameters and multiply-adds of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import paddle
from paddle import nn
from paddle.vision.ops import DeformConv2D

from ..utils.modes import eval_mode
from ..utils.numbers import is_shape


@dataclass(frozen=True)
class LayerProfile:
    """One layer's own share: parameters and multiply-adds without those of its sublayers."""

    name: str
    type: str
    output_shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Profile:
    """What `profile` measured; printing it gives a table.

    Attributes:
        params: trainable numbers (BatchNorm statistics are not counted).
        macs: multiply-adds of convolutions, fully connected layers and custom ops for one image.
        layers: the layers with parameters or multiply-adds of their own, in the order they ran.
    """

    params: int
    macs: int
    layers: list[LayerProfile] = field(repr=False)

    def __str__(self) -> str:
        width = max([len(layer.name) for layer in self.layers] + [5])
        rows = [f"{'layer':<{width}}  {'type':<24} {'output':<20} {'params':>12} {'MACs':>16}"]
        rows += [
            f"{layer.name:<{width}}  {layer.type:<24} {'x'.join(map(str, layer.output_shape)):<20} "
            f"{layer.params:>12,} {layer.macs:>16,}"
            for layer in self.layers
        ]
        rows.append(f"{'total':<{width}}  {'':<24} {'':<20} {self.params:>12,} {self.macs:>16,}")
        return "\n".join(rows)


def profile(net: nn.Layer, input_shape: Sequence[int]) -> Profile:
    """Count the parameters and multiply-adds of one forward pass.

    Convolutions and fully connected layers are counted from their shapes. A custom layer declares what it computes
    beyond its sublayers by a method ``extra_macs(inputs, outputs)``. Normalisation, activations, pooling and
    element-wise arithmetic are not multiply-adds of weights and are left out, as in the papers.

    Args:
        input_shape: (C, H, W), or (N, C, H, W) of which the batch size is ignored; (N, C, T, H, W) for videos.

    Raises:
        ValueError: input_shape is not of three to five positive integers, or ``net`` is no layer.
    """
    if not isinstance(net, nn.Layer):
        raise ValueError(f"profile: net must be a paddle.nn.Layer, got {type(net).__name__}")
    if not is_shape(input_shape, 3, 4, 5):
        raise ValueError(
            f"profile: input_shape must be (C, H, W) or (N, C, T, H, W) of positive integers, got {input_shape!r}"
        )
    shape = [int(size) for size in input_shape]
    rows: list[LayerProfile] = []
    counted: set[int] = set()

    def record(name: str):
        def hook(layer, inputs, outputs):
            params = 0 if id(layer) in counted else _own_parameters(layer)
            counted.add(id(layer))
            macs = _own_macs(layer, inputs, outputs)
            if params or macs:
                rows.append(LayerProfile(name, type(layer).__name__, _shape_of(outputs), params, macs))

        return hook

    hooks = [layer.register_forward_post_hook(record(name)) for name, layer in net.named_sublayers(include_self=True)]
    try:
        with eval_mode(net), paddle.no_grad():
            net(paddle.zeros([1, *(shape if len(shape) == 3 else shape[1:])]))
    finally:
        for hook in hooks:
            hook.remove()
    return Profile(count_parameters(net), sum(row.macs for row in rows), rows)


def expected_macs(
    net: nn.Layer, input_shape: Sequence[int], densities: float | Mapping[str, Sequence[float]] | None
) -> int:
    """Multiply-adds of one image if the layers that sample computed only a share of their positions.

    The sampling article's accounting (see `layers.density_report`, which counts those layers alone). Dense kernels do
    not realise it; `profile` counts what the dense form computes.

    Args:
        input_shape: as for `profile`.
        densities: None for the network without masks, its dense baseline; one share for every mask; or the shares of
            each layer that samples, by name, as `layers.density_report` measures them.

    Raises:
        ValueError: a bad shape, or densities that do not name the layers that sample.
    """
    sampling = {n: layer for n, layer in net.named_sublayers(include_self=True) if hasattr(layer, "expected_macs")}
    if isinstance(densities, Mapping) and set(densities) != set(sampling):
        wrong = ", ".join(sorted(set(densities) ^ set(sampling)))
        raise ValueError(f"expected_macs: densities must name every layer that samples and no other; see {wrong}")
    expected: list[int] = []

    def expect(name: str):
        def hook(layer, inputs, outputs):
            shares = densities[name] if isinstance(densities, Mapping) else [densities] * len(layer.densities())
            expected.append(layer.expected_macs(None if densities is None else shares))

        return hook

    hooks = [layer.register_forward_post_hook(expect(name)) for name, layer in sampling.items()]
    try:
        rows = profile(net, input_shape).layers
    finally:
        for hook in hooks:
            hook.remove()
    inside = tuple(f"{name}." if name else "" for name in sampling)
    others = (row.macs for row in rows if row.name not in sampling and not row.name.startswith(inside))
    return sum(others) + sum(expected)


def count_parameters(net: nn.Layer) -> int:
    """Numbers in the parameters of ``net``; BatchNorm statistics are not counted."""
    return sum(_own_parameters(layer) for layer in net.sublayers(include_self=True))


def _own_parameters(layer: nn.Layer) -> int:
    """Numbers in the parameters of ``layer`` itself, without its sublayers and without BatchNorm statistics."""
    statistics = ("_mean", "_variance") if hasattr(layer, "_mean") else ()
    return sum(int(p.size) for name, p in layer._parameters.items() if p is not None and name not in statistics)


def _own_macs(layer: nn.Layer, inputs, outputs) -> int:
    if hasattr(layer, "extra_macs"):
        return int(layer.extra_macs(inputs[0] if len(inputs) == 1 else inputs, outputs))
    if isinstance(layer, (nn.Conv2D, nn.Conv3D, DeformConv2D)):
        return int(outputs.size) * int(layer.weight[0].size)
    if isinstance(layer, nn.Conv2DTranspose):
        return int(inputs[0].size) * int(layer.weight[0].size)
    if isinstance(layer, nn.Linear):
        return int(outputs.size) * layer.weight.shape[0]
    return 0


def _shape_of(outputs) -> tuple[int, ...]:
    first = outputs[0] if isinstance(outputs, (tuple, list)) else outputs
    return tuple(first.shape) if first is not None else ()
