"""Put trained weights into the package: half the size where that changes no prediction, and a row in the table."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn
from safetensors.numpy import save

from ..utils.checksum import Checksum
from ..utils.files import replacing
from ..utils.modes import eval_mode
from .loading import load_state
from .table import FOLDER, OWN, Row, check_row, read_entries, table

LICENCE = "Apache-2.0"  # this package's


def publish(
    net: nn.Layer,
    model: str,
    tag: str,
    batches: Iterable[Any],
    *,
    classes: int,
    arguments: Mapping[str, Any] | None = None,
    head: str = "fc",
    preprocessing: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    recipe: str | None = None,
    folder: Path = FOLDER,
) -> Row:
    """Write the weights of ``net`` to files/<model>.<tag>.safetensors and their row to the table, or replace both.

    Floating-point weights are stored in float16 if the network then predicts the same class for each image of
    ``batches``, and in float32 otherwise. Networks that draw noise do both from one seed. ``net`` stays as it is.

    Args:
        batches: images, tensors or arrays [N, C, H, W]: the whole evaluation set, best.
        folder: where table.yaml and files/ are.
        model, tag, classes, arguments, head, preprocessing, metrics, recipe: see `Row`.

    Raises:
        ValueError: the row would not make sense, or weights or predictions are not finite.
    """
    batches = [paddle.to_tensor(batch) for batch in batches]
    state = _state(net)
    half = {key: _half(value) for key, value in state.items()}
    same = _same_predictions(net, state, half, batches)
    images = sum(len(batch) for batch in batches)
    _log().info(
        f"{model}.{tag}: {'float16' if same else 'float32'}, as float16 changes {'no' if same else 'a'} "
        f"prediction of {images}"
    )
    entry = {
        "model": model,
        "tag": tag,
        "file": f"{model}.{tag}.safetensors",
        "sha256": "0" * 64,
        "size": 1,
        "source": OWN,
        "licence": LICENCE,
        "arguments": dict(arguments or {}),
        "classes": classes,
        "head": head,
        "preprocessing": dict(preprocessing or {}),
        "metrics": dict(metrics or {}),
        "recipe": recipe,
    }
    check_row(entry, f"{model}.{tag}")  # before anything is written
    path = folder / "files" / entry["file"]
    save_weights(path, half if same else state, model, entry["arguments"], OWN)
    entry |= {"sha256": Checksum.of(path).digits, "size": path.stat().st_size}
    _write_row({key: value for key, value in entry.items() if value not in ({}, None)}, folder)
    return check_row(entry, f"{model}.{tag}")


def save_weights(
    path: Path, state: Mapping[str, np.ndarray], model: str | None, arguments: Mapping[str, Any], source: str
) -> None:
    """Write a .safetensors that says what it is, in one piece or not at all."""
    metadata = {"format": "ppeffconv", "model": model or "", "arguments": json.dumps(arguments), "source": source}
    with replacing(path) as temporary:
        # not save_file, whose files only their owner can read
        temporary.write_bytes(save({key: np.ascontiguousarray(value) for key, value in state.items()}, metadata))


def write_table(entries: list[dict[str, Any]], folder: Path = FOLDER) -> None:
    """Write the rows of table.yaml, below the comment that it begins with, in one piece or not at all."""
    path = folder / "table.yaml"
    comment = "".join(takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines(True)))
    rows = yaml.safe_dump({"weights": entries}, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    with replacing(path) as temporary:
        temporary.write_text(comment + rows, encoding="utf-8")
    table.cache_clear()


def _write_row(entry: dict[str, Any], folder: Path) -> None:
    """Put a row into the table: in the place of the old one of its name, else at the end."""
    entries = read_entries(folder)
    names = [(old["model"], old["tag"]) for old in entries]
    name = (entry["model"], entry["tag"])
    place = names.index(name) if name in names else len(entries)
    entries[place : place + 1] = [entry]
    write_table(entries, folder)


def _state(net: nn.Layer) -> dict[str, np.ndarray]:
    state = {key: value.numpy() for key, value in net.state_dict().items()}
    for key, value in state.items():
        if not np.isfinite(value).all():
            raise ValueError(f"'{key}' has values that are not finite: this network cannot be published")
    return state


def _half(value: np.ndarray) -> np.ndarray:
    if value.dtype not in (np.float32, np.float64) or np.abs(value).max(initial=0) > np.finfo(np.float16).max:
        return value
    return value.astype(np.float16)


def _same_predictions(
    net: nn.Layer, state: dict[str, np.ndarray], half: dict[str, np.ndarray], batches: list[paddle.Tensor]
) -> bool:
    try:
        with eval_mode(net):
            before = _predict(net, batches)
            load_state(net, half, "the weights in float16")
            return (_predict(net, batches) == before).all()
    finally:
        load_state(net, state, "the weights")


def _predict(net: nn.Layer, batches: list[paddle.Tensor]) -> np.ndarray:
    """The class of each image."""
    if not batches:
        raise ValueError("no images were given: they decide whether float16 is good enough")
    with paddle.no_grad(), _fixed_noise():
        logits = np.concatenate([net(batch).numpy() for batch in batches])
    if not np.isfinite(logits).all():
        raise ValueError("the network's outputs are not finite: it cannot be published")
    return logits.argmax(axis=-1)


@contextmanager
def _fixed_noise() -> Iterator[None]:
    state = paddle.get_rng_state()
    paddle.seed(0)
    try:
        yield
    finally:
        paddle.set_rng_state(state)


def _log() -> logging.Logger:
    return logging.getLogger("ppeffconv")
