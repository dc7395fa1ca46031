"""Loading: everything that does not fit is one error that lists it, unless what fits is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from .bfloat16 import from_bits
from .formats import read_file

FLOATING = (paddle.float16, paddle.bfloat16, paddle.float32, paddle.float64)


def read_weights(path: str | Path) -> Mapping[str, np.ndarray]:
    """Read a file of weights by name, such as ``.pdparams`` or ``.safetensors``.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError: it is damaged.
        ValueError: it holds something else.
    """
    state = read_file(path)
    if not isinstance(state, Mapping):
        raise ValueError(f"{path} holds a {type(state).__name__}, expected a mapping of names to weights")
    return state


def load_weights(net: nn.Layer, path: str | Path) -> None:
    """Load a file such as ``.pdparams`` or ``.safetensors`` into ``net``; every key and shape must fit.

    Raises:
        FileNotFoundError: no such file.
        RuntimeError, ValueError: the file is damaged, holds something else, or belongs to another network.
    """
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
        own[key].set_value(_values_for(own[key], value))


def offset_keys(net: nn.Layer) -> tuple[str, ...]:
    """What a plain network's weights lack for its deformable form: offsets begin at 0, where both compute the same."""
    return tuple(key for key in net.state_dict() if ".conv2_offset." in key)


def load_fitting(net: nn.Layer, state: Mapping[str, Any], source: str) -> None:
    """Copy what fits of ``state`` into ``net``, and say in a warning which layers stay as they are.

    Raises:
        ValueError: nothing fits.
    """
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and _shape(v) == list(own[k].shape)}
    if not fitting:
        raise ValueError(f"no layer of {source} fits this {type(net).__name__}")
    others = tuple(key for key in own if key not in fitting)
    load_state(net, fitting, source, optional=others)
    layers = sorted({key.rpartition(".")[0] for key in others})
    shown = ", ".join(layers[:6]) + (", ..." if len(layers) > 6 else "")
    rest = f"random are those of {shown}: train before use" if layers else "all of them"
    logging.getLogger("ppeffconv").warning(f"{len(fitting)} of {len(own)} tensors come from {source}; {rest}")


def _shape(value: Any) -> list[int]:
    return list(getattr(value, "shape", np.shape(value)))


def _values_for(tensor: paddle.Tensor, value: Any) -> np.ndarray:
    value = np.asarray(value)
    if value.dtype == np.uint16 and tensor.dtype in FLOATING:  # Paddle's way to hand bfloat16 to NumPy
        value = from_bits(value)
    dtype = "float32" if tensor.dtype == paddle.bfloat16 else str(tensor.dtype).removeprefix("paddle.")
    return value.astype(dtype, copy=False)
