"""Loading weights from a run, a checkpoint or a file: as they are, or for fine-tuning without the head."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from ..utils.logger import get_logger
from ..weights import find_tag, load_state, offset_keys, read_file, read_weights
from .checkpoint import EMA, PARAMS, STATES, find_checkpoint

CLASSIFIER = ("fc.weight", "fc.bias")  # of every ResNet here


def find_weights(path: str | Path) -> Path:
    """Return the weight file that ``path`` means.

    Args:
        path: a ``.pdparams`` file (the suffix may be left out), a checkpoint folder (its averaged weights, if it has
            some, because its score is theirs) or a run's folder (its ``best``, else its ``latest``).

    Raises:
        FileNotFoundError: there are no weights.
    """
    path = Path(path)
    for file in (path, path.with_name(f"{path.name}.pdparams")):
        if file.is_file():
            return file
    for folder in filter(None, map(find_checkpoint, (path, path / "best", path / "latest"))):
        return folder / EMA if (folder / EMA).is_file() else folder / PARAMS
    raise FileNotFoundError(f"no weights at {path}: expected a .pdparams file, a checkpoint or a run's folder")


def load_for_inference(net: nn.Layer, path: str | Path) -> dict[str, Any]:
    """Load the weights that ``path`` means into ``net``; every key and shape must fit.

    Returns:
        What the checkpoint knows about its data (``class_names``, ``image_mode``, ``input_shape``); {} for a lone file.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: no such file, a damaged one, or that of another network.
    """
    file = find_weights(path)
    load_state(net, read_weights(file), str(file))
    get_logger().info(f"weights: {file}")
    states = file.with_name(STATES)
    return read_file(states).get("data", {}) if states.is_file() else {}


def initialise(net: nn.Layer, path: str | Path) -> str:
    """Start ``net`` from the weights that ``path`` means, for training.

    A classifier for another number of classes keeps its random weights. This is the only difference that is forgiven,
    and only here: an evaluation with a random head would report noise.

    Returns:
        What was loaded and what was not, in words.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as ``load_for_inference``.
    """
    file = find_weights(path)
    state = read_weights(file)
    head = _other_head(net, state)
    load_state(net, {key: value for key, value in state.items() if key not in head}, str(file), optional=head)
    kept = f"; its classifier ({', '.join(head)}) has other classes and is trained anew" if head else ""
    return f"initial weights: {file}{kept}"


def load_backbone(net: nn.Layer, model: str, weights: str | Path) -> None:
    """Start ``net``, a network ``model`` of feature maps, from the weights of a classifier.

    Args:
        weights: a tag of the table of weights, see `create_model`, or a path, see ``find_weights``. A plain network's
            may start its deformable form, whose offsets begin at 0.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as ``load_for_inference``, or of a download.
    """
    if tagged := find_tag(model, weights):
        tagged.load(net)
        return
    file = find_weights(weights)
    state = {key: value for key, value in read_weights(file).items() if key not in CLASSIFIER}
    load_state(net, state, str(file), optional=offset_keys(net))


def _other_head(net: nn.Layer, state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the last linear layer if ``state`` has it with as many inputs but other outputs."""
    heads = [(name, layer) for name, layer in net.named_sublayers() if isinstance(layer, nn.Linear)]
    if not heads:
        return ()
    name, layer = heads[-1]
    saved = np.shape(state.get(f"{name}.weight"))
    own = tuple(layer.weight.shape)
    if len(saved) != 2 or saved[0] != own[0] or saved[1] == own[1]:
        return ()
    return tuple(f"{name}.{key}" for key, _ in layer.named_parameters())
