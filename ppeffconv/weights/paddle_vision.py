"""Weights of paddle.vision's networks: their names mapped onto ours, and values where a layer counts differently."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from re import Match
from typing import Any

import numpy as np

State = dict[str, np.ndarray]
Rules = tuple[tuple[str, str | Callable[[Match], str]], ...]

# its VGG-16 has no BatchNorm: its layers are convolution, ReLU and pooling
_VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0 is a pooling
_VGG_THEIRS = {sum(1 if w == 0 else 2 for w in _VGG_WIDTHS[:i]): i for i, w in enumerate(_VGG_WIDTHS) if w}
_VGG = {theirs: sum(1 if w == 0 else 3 for w in _VGG_WIDTHS[:i]) for theirs, i in _VGG_THEIRS.items()}
# the first block of each of our stages behind the first one, and of V1 all blocks in their order
_V1_STAGES, _V2_STAGES = (2, 4, 6, 12), (2, 4, 7, 14)
_V1_BLOCKS = ("2_1", "2_2", "3_1", "3_2", "4_1", "4_2", *(f"5_{i}" for i in range(1, 7)), "6")
_ALEXNET = {"_conv1._conv": "features.0", "_conv2._conv": "features.3", "_conv3": "features.6", "_conv4": "features.8"}
_ALEXNET |= {"_conv5._conv": "features.10", "_fc6": "head.3", "_fc7": "head.6", "_fc8": "head.8"}
_DENSE_LAYER = {"1._batch_norm": 0, "1._conv": 2, "2._batch_norm": 3, "2._conv": 5}


@dataclass(frozen=True)
class Network:
    """A network of paddle.vision.

    Args:
        mark: a key that no other one has.
        rules: patterns and replacements that turn its keys into ours.
        values: what else becomes of its weights, by our keys.
    """

    mark: str
    rules: Rules
    values: Callable[[Mapping[str, np.ndarray]], State] = field(default=dict)


def find_network(keys: Collection[str]) -> Network:
    """Return the network that has these keys; for ResNets, whose names are ours, one that changes nothing."""
    return next((network for network in _NETWORKS if network.mark in keys), Network("", ()))


def _add_norms(state: Mapping[str, np.ndarray]) -> State:
    """Add BatchNorms that change nothing in eval mode."""
    norms: State = {}
    for place in (place for place in _VGG.values() if f"features.{place}.bias" in state):  # not all, in a VGG-13
        one = np.ones_like(state[f"features.{place}.bias"])
        values: dict[str, Any] = {"weight": one * np.sqrt(1 + 1e-5, dtype=one.dtype), "bias": 0 * one}
        values |= {"_mean": 0 * one, "_variance": one}
        norms |= {f"features.{place + 1}.{key}": value for key, value in values.items()}
    return {**norms, **state}


def _halve(state: Mapping[str, np.ndarray]) -> State:
    """Its dropout halves in evaluation what two layers get; ours doubles in training what remains."""
    return {key: value / 2 if key in ("head.3.weight", "head.6.weight") else value for key, value in state.items()}


def _place(block: int, stages: tuple[int, ...]) -> str:
    """The stage and the place in it of a block, counted from 1; the stem is the first of the first stage."""
    stage = bisect(stages, block)
    return f"{stage}.{block - (stages[stage - 1] if stage else 0)}"


def _v1_layer(m: Match) -> str:
    stage, place = _place(_V1_BLOCKS.index(m[1]) + 1, _V1_STAGES).split(".")
    first = 2 * int(place) - (stage == "0")  # two layers a block, and the stem is one
    return f"features.{stage}.{first + (m[2] == 'pointwise')}."


_NETWORKS = (
    Network(
        "features.2.weight",  # VGG
        (
            (r"^features\.(\d+)\.(weight|bias)$", lambda m: f"features.{_VGG.get(int(m[1]), m[1])}.{m[2]}"),
            (r"^classifier\.(\d+)\.", lambda m: f"head.{int(m[1]) + 2}."),
        ),
        _add_norms,
    ),
    Network(
        "_conv5._conv.weight",  # AlexNet
        ((r"^(.+)\.(weight|bias)$", lambda m: f"{_ALEXNET.get(m[1], m[1])}.{m[2]}"),),
        _halve,
    ),
    Network(
        "conv2_1._depthwise_conv.0.weight",  # MobileNetV1
        (
            (r"^conv1\.", "features.0.0."),
            (r"^conv(\d(?:_\d)?)\._(depthwise|pointwise)_conv\.", _v1_layer),
            (r"^fc\.", "head.fc."),
        ),
    ),
    Network(
        "features.1.conv.0.0.weight",  # MobileNetV2
        (
            (r"^features\.18\.", "head.conv."),
            (r"^features\.0\.", "features.0.0."),
            (r"^features\.(\d+)\.conv\.", lambda m: f"features.{_place(int(m[1]), _V2_STAGES)}.conv."),
            (r"^classifier\.1\.", "head.fc."),
        ),
    ),
    Network(
        "conv1_func._conv.weight",  # DenseNet
        (
            (r"^conv1_func\._conv\.", "features.0.0."),
            (r"^conv1_func\._batch_norm\.", "features.0.1."),
            (
                r"^db_conv_\d\.conv(\d)_(\d+)\.bn_ac_func(\d\._\w+)\.",
                lambda m: f"features.{int(m[1]) - 2}.{int(m[2]) + 3}.layers.{_DENSE_LAYER[m[3]]}.",
            ),
            (r"^tr_conv(\d)_blk\.conv_ac_func\._batch_norm\.", lambda m: f"features.{int(m[1]) - 1}.0."),
            (r"^tr_conv(\d)_blk\.conv_ac_func\._conv\.", lambda m: f"features.{int(m[1]) - 1}.2."),
            (r"^batch_norm\.", "head.norm."),
            (r"^out\.", "head.fc."),
        ),
    ),
)
