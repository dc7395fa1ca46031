"""Density: which share of the positions the masks of a network's last forward kept, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import paddle
from paddle import Tensor, nn


class LastForward(dict):
    """What a layer remembers of its last forward (densities, losses, sizes).

    Empty after a graph was traced, and in copies and pickles of the layer: the entries belong to one eager forward and
    its gradient graph.
    """

    def record(self, **facts: object) -> None:
        """Replace the facts by those of this forward."""
        self.clear()
        if paddle.in_dynamic_mode():
            self.update(facts)

    def __deepcopy__(self, memo: dict) -> LastForward:
        return LastForward()

    def __reduce__(self) -> tuple:
        return LastForward, ()


class DensityRow(NamedTuple):
    """One line of `density_report`."""

    name: str
    densities: tuple[float, ...]
    """Share of sampled positions of each mask, in the order of the convolutions."""
    macs: int
    """Multiply-adds per image if only sampled positions were computed, masks and interpolation included."""
    dense_macs: int
    """Multiply-adds per image of the same layer without masks."""


def share(kept: Tensor) -> Tensor:
    """Share of true elements, a scalar."""
    return kept.astype("float32").mean()


def kernels(layer: nn.Layer) -> list[Tensor]:
    """Weights of the convolutions inside a layer, also where another one wraps or stands in for them."""
    weights = (getattr(inner, "weight", None) for inner in layer.sublayers(include_self=True))
    return [weight for weight in weights if weight is not None and weight.ndim == 4]


def macs_per_position(layer: nn.Layer) -> int:
    """Multiply-adds per output position of the convolutions inside a layer."""
    return sum(weight.size for weight in kernels(layer))


def density(net: nn.Layer) -> float | None:
    """Mean density over all masks of the last forward; None if ``net`` does not sample or has not run yet."""
    shares = [share for _, layer in _sampling_layers(net) for share in layer.densities()]
    return float(paddle.stack(shares).mean()) if shares else None


def density_report(net: nn.Layer) -> list[DensityRow]:
    """Density and expected multiply-adds of every layer of ``net`` that samples, after a forward.

    The multiply-adds are those of the sampling paper's accounting at the measured density. Dense kernels do not
    realise them: `ppeffconv.profile` counts what the dense form computes.
    """
    rows = []
    for name, layer in _sampling_layers(net):
        shares = tuple(float(share) for share in layer.densities())
        if shares:
            rows.append(DensityRow(name, shares, layer.expected_macs(shares), layer.expected_macs(None)))
    return rows


def _sampling_layers(net: nn.Layer) -> Iterator[tuple[str, nn.Layer]]:
    """Layers that offer ``densities() -> list[Tensor]`` and ``expected_macs(densities or None) -> int``."""
    return ((name, layer) for name, layer in net.named_sublayers(include_self=True) if hasattr(layer, "expected_macs"))
