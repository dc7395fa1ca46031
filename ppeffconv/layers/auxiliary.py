"""Collecting what the layers of a network offer besides their output: auxiliary losses."""

from __future__ import annotations

from collections import defaultdict

from paddle import Tensor, nn


def auxiliary_losses(net: nn.Layer) -> dict[str, Tensor]:
    """Mean over the layers of ``net`` of each extra loss that they offer, by name; {} when none offers any.

    Known names: "sparse" (sampling density, 0.25 mean p1 + 0.75 mean p2 per block) and "orthogonality" (learned
    versatile masks). Valid after a forward in training mode.
    """
    terms: dict[str, list[Tensor]] = defaultdict(list)
    for layer in net.sublayers():
        offered = getattr(layer, "auxiliary_losses", None)
        # a network inside a network collects its own layers' losses: only the layers themselves are asked
        if offered is None or hasattr(layer, "feature_channels"):
            continue
        for name, value in offered().items():
            terms[name].append(value)
    return {name: sum(values[1:], values[0]) / len(values) for name, values in terms.items()}
