"""Everything that a training needs to continue bit for bit, taken from and put back into a paddle.Model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle

from ..utils.rng import rng_state, seed_everything, set_rng_state
from ..weights import load_state
from . import checkpoint as files
from .amp import restore_scaler, scaler_state
from .distributed import rank
from .optimizer_state import optimizer_state, set_optimizer_state

if TYPE_CHECKING:
    from .callbacks.ema import EMA


@dataclass(frozen=True)
class Best:
    """The best score so far and the number of epochs after which it was reached."""

    score: float
    epoch: int


@dataclass(frozen=True)
class Position:
    """Where a run stands: complete epochs, and steps done in the next one."""

    epoch: int = 0
    step: int = 0


def take_snapshot(
    model: paddle.Model, position: Position, best: Best | None, ema: EMA | None, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the contents of a checkpoint: file name -> what to save in it. ``facts`` join the saved states."""
    states = {
        **facts,
        **asdict(position),
        "best": asdict(best) if best else None,
        "rng": rng_state(),
        "scaler": scaler_state(model),
        "ema_updates": ema.updates if ema else None,
    }
    contents = {
        files.PARAMS: model.network.state_dict(),
        files.OPTIMIZER: optimizer_state(model._optimizer, model.network),
        files.STATES: states,
    }
    return contents | ({files.EMA: ema.weights} if ema else {})


def restore_snapshot(model: paddle.Model, contents: Mapping[str, Any], ema: EMA | None) -> tuple[Position, Best | None]:
    """Put what a checkpoint has kept of ``take_snapshot`` into ``model``, which is prepared already.

    On several processes the others draw fresh noise from here on: to the bit, only a single process repeats itself.

    Raises:
        ValueError: it is the checkpoint of another network or optimizer.
    """
    states = contents[files.STATES]
    load_state(model.network, contents[files.PARAMS], files.PARAMS)
    set_optimizer_state(model._optimizer, model.network, contents[files.OPTIMIZER])
    if ema:
        ema.load(contents[files.EMA], states["ema_updates"])
    restore_scaler(model, states["scaler"])
    if rank() == 0:
        set_rng_state(states["rng"])
    else:  # only process 0 saves, and noise must differ between processes
        seed_everything(int(np.random.SeedSequence([rank(), states["epoch"], states["step"]]).generate_state(1)[0]))
    best = states["best"]
    return Position(states["epoch"], states["step"]), Best(**best) if best else None
