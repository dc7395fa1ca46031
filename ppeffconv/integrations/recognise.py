"""Whose configuration a YAML file is: this package's, PaddleDetection's or PaddleSeg's."""

from __future__ import annotations

from pathlib import Path

from ..config_check import Tree
from ..config_yaml import Loader
from .strict import read_with_bases

OURS, DETECTION, SEGMENTATION = "ppeffconv", "ppdet", "ppseg"
# keys that only one of them has at the top
TELLING = {"Global": OURS, "Arch": OURS, "architecture": DETECTION, "train_dataset": SEGMENTATION}


class _Tolerant(Loader):
    """Reads what has the tag of a toolkit's class as nothing."""


_Tolerant.add_multi_constructor("!", lambda loader, suffix, node: None)


def owner_of(path: str | Path) -> str:
    """Return `OURS`, `DETECTION` or `SEGMENTATION`.

    Raises:
        FileNotFoundError: no such file, or a base is missing.
        ValueError: malformed YAML, or a configuration of none of them.
    """
    keys: set[str] = set()
    for base_key in ("_base_", "_BASE_"):
        keys.update(read_with_bases(Path(path), base_key, _keys_of_all, _Tolerant))
    owners = {owner for key, owner in TELLING.items() if key in keys}
    if len(owners) != 1:
        raise ValueError(
            f"{path} is no configuration that is known here: one of this package has Global and Arch, one of "
            "PaddleDetection architecture, and one of PaddleSeg train_dataset"
        )
    return owners.pop()


def _keys_of_all(own: Tree, bases: list[Tree]) -> Tree:
    return dict.fromkeys([*own, *(key for base in bases for key in base)])
