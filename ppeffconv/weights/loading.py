"""Strict loading: everything that does not fit is one error that lists it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

UNREADABLE = (EOFError, pickle.UnpicklingError, ValueError, RuntimeError, LookupError, AttributeError, ImportError)


def read_file(path: str | Path) -> Any:
    """Read a file that ``paddle.save`` wrote, tensors as NumPy arrays; RuntimeError that names it if it is damaged."""
    try:
        return paddle.load(str(path), return_numpy=True)
    except UNREADABLE as error:
        raise RuntimeError(f"cannot read {path}: it is damaged or not a file of Paddle's ({error})") from None


def read_weights(path: str | Path) -> Mapping[str, np.ndarray]:
    """Read a ``.pdparams`` file; RuntimeError if it is damaged, ValueError if it holds something else."""
    state = read_file(path)
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a mapping of names to weights")
    return state


def load_weights(net: nn.Layer, path: str | Path) -> None:
    """Load a ``.pdparams`` file into ``net``; every key and shape must fit.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError, ValueError: the file is damaged, holds something else, or belongs to another network.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no weight file at {path}")
    load_state(net, read_weights(path), str(path))


def load_state(net: nn.Layer, state: Mapping[str, Any], source: str, optional: tuple[str, ...] = ()) -> None:
    """Copy ``state`` (numpy arrays by key) into ``net``; nothing is changed unless everything fits.

    Args:
        source: where the state comes from, for the message.
        optional: keys of ``net`` that ``state`` may leave out; they keep their values.

    Raises:
        ValueError: lists missing, unexpected and misshapen keys.
    """
    own = net.state_dict()
    missing = [key for key in own if key not in state and key not in optional]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f"{key}: got {_shape(state[key])}, expected {list(own[key].shape)}"
        for key in own
        if key in state and _shape(state[key]) != list(own[key].shape)
    ]
    if missing or unexpected or misshapen:
        fitting = len(own) - len(missing) - len(misshapen)
        parts = [f"{source} does not fit {type(net).__name__} ({fitting} of {len(own)} keys fit)"]
        for title, keys in (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)):
            if keys:
                parts.append(
                    f"{len(keys)} {title}: {'; '.join(map(str, keys[:10]))}{'; ...' if len(keys) > 10 else ''}"
                )
        raise ValueError(". ".join(parts))
    for key, value in state.items():
        own[key].set_value(np.asarray(value, dtype=_numpy_dtype(own[key])))


def _shape(value: Any) -> list[int]:
    return list(getattr(value, "shape", np.shape(value)))


def _numpy_dtype(tensor: paddle.Tensor) -> str:
    return "float32" if tensor.dtype == paddle.bfloat16 else str(tensor.dtype).removeprefix("paddle.")
