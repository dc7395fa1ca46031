"""Strict loading: everything that does not fit is one error that lists it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn


def load_weights(net: nn.Layer, path: str | Path) -> None:
    """Load a ``.pdparams`` file into ``net``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no weight file, or its keys or shapes are not those of ``net``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weight file at {path}")
    try:
        state = paddle.load(str(path), return_numpy=True)
    except (ValueError, RuntimeError, EOFError, KeyError, OSError, ImportError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable .pdparams file ({error})") from error
    except Exception as error:
        raise ValueError(f"{path} is damaged or no .pdparams file ({type(error).__name__}: {error})") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a dictionary of weights")
    load_state(net, state, str(path))


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
