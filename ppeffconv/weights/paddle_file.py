"""What ``paddle.save`` writes, read without running anything that is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from paddle.base.libpaddle import GeneratorState

from ..utils.unpickling import Deferred, Unpickler, resolve

NAME_TABLE, SLICES = "StructuredToParameterName@@", "UnpackBigParamInfor@@"  # entries that paddle.save adds


def read_paddle(path: Path) -> Any:
    """Read a file, and undo what ``paddle.save`` does to dictionaries and tensors."""
    with path.open("rb") as file:
        value = resolve(Unpickler(file, _STAND_INS).load(), _without_name)
    if isinstance(value, dict):
        for key, info in value.pop(SLICES, {}).items():  # a large array, cut for the sake of old pickles
            value[key] = np.concatenate([value.pop(part) for part in info["slices"]]).reshape(info["OriginShape"])
        value.pop(NAME_TABLE, None)
    return value


def _without_name(value: tuple) -> Any:
    """A tensor anywhere but in a state dictionary was saved as (name, array)."""
    named = len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], np.ndarray)
    return value[1] if named else value


class _Generator(Deferred):
    """The state of a random generator, in a checkpoint of a run: numbers."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def value(self) -> GeneratorState:
        generator = GeneratorState.__new__(GeneratorState)
        generator.__setstate__(self.state)
        return generator


_STAND_INS = {("paddle.base.libpaddle", "GeneratorState"): _Generator}
