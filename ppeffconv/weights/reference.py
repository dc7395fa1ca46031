"""The authors' checkpoints: their key layouts, mapped onto ours."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from paddle import nn

from ..registry import did_you_mean
from .loading import load_state
from .paddle_vision import find_network
from .sources import PADDLE, SOURCES

# Keys are ours but for these rewrites, applied in order. A prefix rule must match every key of the checkpoint to apply.
_PREFIXES = (r"(arg|aux):", r"module\.", r"\d+\.", r"backbone\.")
# State of the sampling schedule and widths: 0-d in the authors' files, at their initial value where left out.
_SCALARS = ("conv1_sigma", "conv2_sigma", "conv1_gumbel.cur_T", "conv2_gumbel.cur_T")


def load_reference(net_or_layer: nn.Layer, state_dict: Mapping[str, Any], source: str) -> None:
    """Load an authors' checkpoint into one of our layers or networks.

    Args:
        state_dict: their keys to numpy arrays or torch tensors of any float type; a file's outer dictionary with a
            "state_dict" entry is accepted, ``num_batches_tracked`` is ignored, and a common prefix ("module.", an
            fp16 wrapper's "1.", "backbone.") is stripped.
        source: the repository that the checkpoint comes from, one of `SOURCES`. "PaddlePaddle/Paddle" means
            paddle.vision's ResNets and ResNeXts, VGG-16, AlexNet, MobileNetV1 and V2, and DenseNet. For
            "facebookresearch/OctConv" the structural Gluon names are understood, not those of the older symbol files.

    Raises:
        ValueError: unknown source, or keys that are missing, unexpected or misshapen (all of them are listed).
    """
    renamed = converted(net_or_layer, state_dict, source)
    own = net_or_layer.state_dict()
    optional = tuple(key for key in own if key.endswith(_SCALARS))
    load_state(net_or_layer, renamed, f"the {source} checkpoint", optional)
    left_out = [key for key in optional if key not in renamed]
    if left_out:
        logging.getLogger("ppeffconv").warning(
            "the %s checkpoint leaves out %s; kept at the present values", source, ", ".join(left_out)
        )


def converted(net_or_layer: nn.Layer, state_dict: Mapping[str, Any], source: str) -> dict[str, np.ndarray]:
    """Return an authors' checkpoint with our keys and layouts, for ``net_or_layer``, whether it fits or not.

    Raises:
        ValueError: unknown source, or no mapping of keys.
    """
    arrays = _read(state_dict)
    renamed = {ours: arrays[theirs] for theirs, ours in _rename(arrays, source).items()}
    if source == PADDLE:
        return find_network(_without_prefix(arrays).values()).values(renamed)
    linear, own = _linear_weights(net_or_layer), net_or_layer.state_dict()
    for key, value in renamed.items():
        if key in linear and value.ndim == 2:
            renamed[key] = value.T  # [out, in] there, [in, out] in Paddle
        elif value.ndim == 0 and key in own and own[key].size == 1:
            renamed[key] = value.reshape(own[key].shape)
    return renamed


def reference_keys(net_or_layer: nn.Layer, state_dict: Mapping[str, Any], source: str) -> dict[str, str]:
    """Map each key of an authors' checkpoint to ours: {theirs: ours}; Linear weights are transposed besides."""
    return _rename(_read(state_dict), source)


def _read(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"state_dict must map keys to arrays, got {type(state_dict).__name__}")
    if isinstance(state_dict.get("state_dict"), Mapping):
        state_dict = state_dict["state_dict"]
    arrays = {}
    for key, value in state_dict.items():
        if key.endswith("num_batches_tracked"):
            continue
        if hasattr(value, "detach"):  # a torch tensor, perhaps bfloat16 or on a GPU
            value = value.detach().cpu().float().numpy()
        arrays[key] = np.asarray(value)
    return arrays


def _rename(arrays: Mapping[str, np.ndarray], source: str) -> dict[str, str]:
    if source not in SOURCES:
        raise ValueError(f"unknown source '{source}'.{did_you_mean(source, SOURCES)} Known: {', '.join(SOURCES)}")
    names = _without_prefix(arrays)
    rules = find_network(names.values()).rules if source == PADDLE else SOURCES[source]
    for pattern, replacement in rules:
        names = {key: re.sub(pattern, replacement, name) for key, name in names.items()}
    return names


def _without_prefix(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Each key, and what it is without the prefixes that all of them have."""
    names = {key: key for key in arrays}
    for prefix in _PREFIXES:
        if names and all(re.match(prefix, name) for name in names.values()):
            names = {key: re.sub(f"^{prefix}", "", name) for key, name in names.items()}
    return names


def _linear_weights(net: nn.Layer) -> set[str]:
    layers = net.named_sublayers(include_self=True)
    return {f"{name}.weight".lstrip(".") for name, layer in layers if isinstance(layer, nn.Linear)}
