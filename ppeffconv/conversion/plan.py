"""The plan of a conversion: what stands in for which layer, and what the report will say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from paddle import Tensor, nn

from .dense import describe, inherit, place_of
from .report import LayerReport
from .sites import METHOD_LAYERS, Chosen, Site, find_sites


@dataclass(frozen=True)
class StandIn:
    """A layer that takes the place of a dense one.

    Attributes:
        weights: "exact", "approximate" or "new".
        share: of the squared dense weights that are carried over, where only a part is.
        around: what to put around the layer, see `dense.place_of`.
    """

    layer: nn.Layer
    weights: str
    share: float | None = None
    around: Callable[[nn.Layer], nn.Layer] | None = None


class Plan:
    """Filled by a method; `ppeffconv.convert` then copies the network by it.

    Attributes:
        memo: what `copy.deepcopy` shall use instead of copying, by the id of the layer in the given network. However
            many places hold a layer (attributes, lists, shared blocks), all of them get its stand-in.
        notes: sentences for the report.
        finish: called after the copy, for what has to be done to a copied layer.
        thawed: names of frozen layers whose stand-ins have to be trained.
    """

    def __init__(self, net: nn.Layer, chosen: Chosen) -> None:
        self.net, self.chosen = net, chosen
        self.sites = find_sites(net)
        self.memo: dict[int, Any] = {}
        self.notes: list[str] = []
        self.finish: list[Callable[[nn.Layer], None]] = []
        self.thawed: list[str] = []
        self._rows: dict[int, LayerReport] = {}
        self._owners: dict[int, list[str]] = defaultdict(list)
        for site in self.sites:
            for parameter in _own(site.layer):
                self._owners[id(parameter)].append(site.name)

    def site_of(self, layer: nn.Layer) -> Site:
        """The site of a layer of the network."""
        return next(site for site in self.sites if site.layer is layer)

    def open(self, kind: type[nn.Layer] | tuple[type[nn.Layer], ...] = nn.Conv2D) -> list[Site]:
        """Layers of a kind on which nothing is decided yet."""
        return [site for site in self.sites if isinstance(site.layer, kind) and id(site.layer) not in self._rows]

    def why_not(self, site: Site) -> str | None:
        """The reason to leave a layer alone whatever the method, if there is one."""
        if isinstance(site.layer, METHOD_LAYERS):
            return "is converted already"
        for parameter in _own(site.layer):
            others = [name for name in self._owners[id(parameter)] if name != site.name]
            if others:
                return f"shares a parameter with {others[0]}"
        return self.chosen.why_not(site.name)

    def keep(self, site: Site, reason: str) -> None:
        """Leave a layer as it is."""
        self._rows[id(site.layer)] = LayerReport(site.name, _name(site.layer), None, None, reason)

    def carried(self, site: Site, became: str, weights: str, share: float | None = None) -> None:
        """Report what became of a layer."""
        self._rows[id(site.layer)] = LayerReport(site.name, _name(site.layer), became, weights, "", share)

    def replace(self, site: Site, new: StandIn) -> None:
        """Let a layer take a site."""
        if isinstance(site.layer, nn.Conv2D) and inherit(new.layer, site.layer, new.weights == "new"):
            self.thawed.append(site.name)
        around = new.around(new.layer) if new.around else new.layer
        around.training = site.layer.training
        self.memo[id(site.layer)] = around
        self.carried(site, type(new.layer).__name__, new.weights, new.share)

    def replace_convs(self, build: Callable[..., StandIn], **kwargs: Any) -> None:
        """Offer every open convolution to ``build(site, slot, **kwargs)``, which raises ValueError with a reason."""
        self.chosen.check([site.name for site in self.sites if isinstance(site.layer, (nn.Conv2D, *METHOD_LAYERS))])
        for site in self.open((nn.Conv2D, *METHOD_LAYERS)):
            reason = self.why_not(site)
            if reason is None:
                try:
                    slot, around = place_of(site.layer)
                    self.replace(site, replace(build(site, slot, **kwargs), around=around))
                    continue
                except ValueError as error:
                    reason = re.sub(r"^conv method '\w+' ", "", str(error))
            self.keep(site, reason)

    def rows(self) -> list[LayerReport]:
        """What was decided, in the order of the network."""
        return [self._rows[id(site.layer)] for site in self.sites if id(site.layer) in self._rows]


def match(new: nn.Layer, old: nn.Layer) -> nn.Layer:
    """Give a stand-in the mode (training or evaluation) and the type of the layer whose place it takes; returns it."""
    (new.train if old.training else new.eval)()
    dtype = next(old.named_parameters())[1].dtype
    if any(parameter.dtype != dtype for parameter in new.parameters()):
        new.to(dtype=str(dtype).removeprefix("paddle."))
    return new


def _own(layer: nn.Layer) -> list[Tensor]:
    return [parameter for parameter in layer._parameters.values() if parameter is not None]


def _name(layer: nn.Layer) -> str:
    return describe(layer) if isinstance(layer, nn.Conv2D) else type(layer).__name__
