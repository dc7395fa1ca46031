"""A network in every form that an engine can load."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppeffconv import deploy
from ppeffconv.inference import onnx
from ppeffconv.inference.traced import Traced

from .layer_kinds import multiply_adds
from .paddle_models import build
from .peers.serve import Job

TORCH_NAMES = {"_mean": "running_mean", "_variance": "running_var"}


def save(
    folder: str, converter: str, network: str, options: dict, size: int, images: int, density: float | None
) -> Job:
    """Fill a folder as `peers.models` describes it; the facts name the forms that could not be saved, and why.

    Args:
        converter: a folder with paddle2onnx, "" if it is installed beside Paddle.
        images: how many.
        density: of the masks on these images.
    """
    x = np.random.default_rng(0).standard_normal((images, 3, size, size), np.float32)
    net = build(network, options, x, density)
    deployed = deploy(net, backend="reference")
    np.save(Path(folder, "images.npy"), x)
    with paddle.no_grad():
        np.save(Path(folder, "logits.npy"), net(paddle.to_tensor(x)).numpy())
    np.savez(Path(folder, "weights.npz"), **torch_weights(net))
    facts = {"macs": multiply_adds(deployed.program, (3, size, size), [density] * len(deployed.program.masks))}
    Path(folder, "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    if converter:
        os.environ["PYTHONPATH"] = converter
    failures = {}
    for form, each in {"training": net, "deployed": deployed}.items():
        try:
            _save_form(each, Path(folder, form), size)
        except RuntimeError as error:
            failures[form] = str(error)
    return Job(lambda: None, lambda: {"failures": failures})


def _save_form(net: nn.Layer, path: Path, size: int) -> None:
    path.mkdir()
    Traced(net, engine=False, densities=False).save(path / "model", (3, size, size), fixed_size=True)
    onnx.convert(path, path.with_suffix(".onnx"))


def torch_weights(net: nn.Layer) -> dict[str, np.ndarray]:
    """The state of a network under the names, and in the layout, of its twin in PyTorch."""
    state = {}
    transposed = {f"{name}.weight" for name, layer in net.named_sublayers() if isinstance(layer, nn.Linear)}
    for key, value in net.state_dict().items():
        head, _, last = key.rpartition(".")
        if last != "cur_T":
            array = value.numpy()
            state[f"{head}.{TORCH_NAMES.get(last, last)}".lstrip(".")] = array.T if key in transposed else array
    return state
