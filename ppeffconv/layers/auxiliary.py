"""Collecting what the layers of a network offer besides their output: auxiliary losses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from paddle import Tensor, nn

from ..registry import did_you_mean


def weigh_losses(offered: Mapping[str, Tensor], weights: Mapping[str, float], option: str) -> dict[str, Tensor]:
    """``weights`` times the losses of the same names.

    Args:
        option: of a configuration, where the weights stand.

    Raises:
        ValueError: a loss that is not offered.
    """
    for name in weights:
        if name not in offered:
            raise ValueError(
                f"{option}.{name}: the network offers no auxiliary loss '{name}'.{did_you_mean(name, offered)} "
                f"It offers: {', '.join(sorted(offered)) or 'none'}"
            )
    return {name: weight * offered[name] for name, weight in weights.items()}


def auxiliary_losses(net: nn.Layer) -> dict[str, Tensor]:
    """Mean over the layers of ``net`` of each extra loss that they offer, by name; {} when none offers any.

    Known names: "sparse" (probabilities of sampling: 0.25 mean p1 + 0.75 mean p2 of a bottleneck, their mean of a basic
    block) and "orthogonality" (learned versatile masks). Valid after a forward in training mode.
    """
    terms: dict[str, list[Tensor]] = defaultdict(list)
    for layer in net.sublayers():
        inside = any(hasattr(inner, "auxiliary_losses") for inner in layer.sublayers())
        if hasattr(layer, "auxiliary_losses") and not inside:  # a network inside a network only collects
            for name, value in layer.auxiliary_losses().items():
                terms[name].append(value)
    return {name: sum(values[1:], values[0]) / len(values) for name, values in terms.items()}
