"""What `create_model(..., pretrained=...)` may be given, and how it gets into the network."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from .formats import read_file
from .loading import load_fitting, load_state, load_weights, offset_keys, read_weights
from .reference import converted
from .remote import fetch, fetch_url
from .table import OWN, Row, rows, starts

ADDRESS = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Pretrained:
    """Weights that were asked for.

    Args:
        path: of a file with this package's own names; or
        row: of the table.
        partly: take only the layers that fit.
    """

    path: Path | None = None
    row: Row | None = None
    partly: bool = False

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that the network needs for these weights, with those ``given``.

        Raises:
            ValueError: they contradict each other.
        """
        if self.row is None or self.partly:
            return dict(given)
        for key, value in self.row.arguments.items():
            if key in given and given[key] != value:
                raise ValueError(f"{self.row.name} was trained with {key}={value!r}; got {key}={given[key]!r}")
        return {**self.row.arguments, **given}

    @property
    def classes(self) -> int:
        """The number of classes where the user has not named one."""
        return self.row.classes if self.row else 1000

    def load(self, net: nn.Layer) -> None:
        """Copy the weights into ``net``.

        A classifier for other classes or that is not there is forgiven, and so are weights without the offsets of
        deformable convolutions.

        Raises:
            RuntimeError, ValueError: they could not be had or read, or do not fit.
        """
        if self.row is None:
            load_weights(net, self.path)
            return
        path = fetch(self.row)
        state = read_weights(path) if self.row.source == OWN else converted(net, read_file(path), self.row.source)
        if self.partly:
            load_fitting(net, state, self.row.name)
        else:
            _load_but_head(net, state, self.row, path)


def find_pretrained(model: str, pretrained: bool | str | Path) -> Pretrained | None:
    """Return what ``pretrained`` means for ``model``; None for False.

    Args:
        pretrained: True (the first set of the table), a tag of the table, the path of a file, or an address.

    Raises:
        FileNotFoundError: there is no such set or file.
        RuntimeError, ValueError: the address is bad or cannot be read.
    """
    if not pretrained:
        return None
    if pretrained is True:
        complete = [row for row in rows(model) if row.opened]
        if complete:
            return Pretrained(row=complete[0])
        raise FileNotFoundError(f"no pretrained weights are known for '{model}'{_known(model)}")
    if tagged := find_tag(model, pretrained):
        return tagged
    if isinstance(pretrained, str) and ADDRESS.match(pretrained):
        return Pretrained(path=fetch_url(pretrained))
    if not Path(pretrained).is_file():
        raise FileNotFoundError(f"no weight file at {pretrained}, and no tag of '{model}'{_known(model)}")
    return Pretrained(path=Path(pretrained))


def find_tag(model: str, tag: str | Path) -> Pretrained | None:
    """The weights of the table that ``tag`` names for ``model``, made for it or for its plain form; else None."""
    for row in rows(model):
        if row.tag == tag:
            return Pretrained(row=row)
    for row in starts(model):
        if row.tag == tag:
            return Pretrained(row=row, partly=True)
    return None


def _known(model: str) -> str:
    tags = [row.tag for row in rows(model)] + [f"{row.tag} (the layers that fit)" for row in starts(model)]
    named = f"; its tags: {', '.join(tags)}" if tags else ""
    return (
        f"{named} (list_models(pretrained=True) names the networks that have some); use pretrained=False for random "
        "weights, or the path of a file"
    )


def _load_but_head(net: nn.Layer, state: Mapping[str, np.ndarray], row: Row, path: Path) -> None:
    own = net.state_dict()
    absent = not any(key.startswith(f"{row.head}.") for key in own)  # a network of feature maps
    part = row.head.partition(".")[0] if absent else row.head  # it has nothing of what lies behind its maps
    head = [key for key in state if key.startswith(f"{part}.")]
    other = tuple(key for key in head if key in own and own[key].shape[-1] != state[key].shape[-1])
    if absent or other:
        state = {key: value for key, value in state.items() if key not in head}
    load_state(net, state, f"{row.name} ({path})", optional=other + offset_keys(net))
    if other:
        _tell(f"{row.name}: the classifier ({', '.join(other)}) is for other classes and stays random")


def _tell(message: str) -> None:
    logging.getLogger("ppeffconv").warning(message)
