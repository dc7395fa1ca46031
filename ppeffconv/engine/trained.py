"""A trained network from its configuration, ready to be evaluated, exported, asked or drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ..config import Config
from ..data import build_loader, build_transforms, check_known_classes
from ..inference.drawing import draw_lines, panels, read_images
from ..inference.exporter import NoDeployFormError, export
from ..inference.predictor import missing_engine
from ..utils.logger import get_logger
from ..utils.optional import require
from .build import build_network, check_input, set_device
from .checkpoint import find_checkpoint
from .distributed import join, processes, rank
from .samples import data_facts
from .tasks import build_task
from .weights import load_for_inference


def load_network(cfg: Config, weights: str | Path | None = None) -> tuple[nn.Layer, dict[str, Any]]:
    """Return the trained network of ``cfg`` in eval mode, and the data facts of its checkpoint ({} for a lone file).

    Args:
        cfg: the configuration.
        weights: a weight file, a checkpoint or a run's folder; default: ``best`` (else ``latest``) beside the
            configuration file, else ``Global.pretrained_model``, else what ``Arch.pretrained`` loads.

    Raises:
        ValueError: no weights are named anywhere, they are those of another network, or of other classes than the
            evaluation data has, if that is there.
        FileNotFoundError, RuntimeError: the weights are not there, or damaged.
    """
    set_device(cfg["Global"]["device"])
    run = cfg.path.parent
    trained = any(find_checkpoint(run / name) for name in ("best", "latest"))
    weights = weights or (run if trained else cfg["Global"]["pretrained_model"])
    if weights is None and not cfg["Arch"]["pretrained"]:
        raise ValueError(
            f"no weights: {run} has no checkpoint, and neither Global.pretrained_model nor Arch.pretrained is set. "
            "Give --weights PATH, or the config.yaml in a run's folder"
        )
    arch = cfg["Arch"] if weights is None else {**cfg["Arch"], "pretrained": False}
    net = build_network({"Arch": arch})
    facts = load_for_inference(net, weights) if weights is not None else {}
    if weights is not None and not facts and cfg["Global"]["task"] == "classification":
        get_logger().warning(
            f"{weights} has no class names, as a checkpoint's folder does: they are taken from the evaluation data, "
            "and nothing can tell whether these number their classes as the weights do"
        )
    if facts:
        check_known_classes(facts["class_names"], cfg, str(weights))
    net.eval()
    return net, facts


def evaluate_run(cfg: Config, weights: str | Path | None = None) -> dict[str, float]:
    """Evaluate the trained network of ``cfg`` on its evaluation data; see its task and ``load_network``."""
    join()
    net, _ = load_network(cfg, weights)
    loader = build_loader(cfg, "Eval", rank(), processes())
    task = build_task(cfg)
    task.check(loader.dataset)
    check_input(net, tuple(data_facts(loader.dataset)["input_shape"]), cfg["Arch"]["name"])
    return task.evaluate(net, loader)


def export_run(
    cfg: Config,
    path: str | Path | None = None,
    weights: str | Path | None = None,
    stock: bool = False,
    **options: Any,
) -> Path:
    """Export the trained network of ``cfg`` with all that prediction needs; default path: ``export`` in the run.

    The input shape is ``Export.input_shape``, else that of the images which the evaluation transforms make. ``options``
    are those of `export`: ``dtype``, ``seed``, ``onnx``, ``fixed_size``. Where the compiled engine is missing, or has
    nothing to do, the export is a stock one, and the log says so.
    """
    net, facts = load_network(cfg, weights)
    facts = facts or data_facts(build_loader(cfg, "Eval").dataset)
    shape = cfg["Export"]["input_shape"] or facts["input_shape"]
    check_input(net, tuple(shape), cfg["Arch"]["name"])
    info = {key: facts[key] for key in ("class_names", "image_mode")}
    info["transforms"] = cfg["DataLoader"]["Eval"]["transforms"]
    path = path or cfg.path.parent / "export"
    reason = "" if stock else missing_engine()
    if not stock and not reason:
        try:
            return export(net, path, shape, info=info, **options)
        except NoDeployFormError as error:
            reason = str(error)
    if reason:
        get_logger().warning(f"a stock export, which is slower: {reason}")
    return export(net, path, shape, deploy=False, info=info, **options)


def network_parts(cfg: Config, weights: str | Path | None = None) -> dict[str, Any]:
    """Return the arguments of ``predict_images`` for the trained network of ``cfg``, but for the files and topk."""
    net, facts = load_network(cfg, weights)
    facts = facts or data_facts(build_loader(cfg, "Eval").dataset)

    def forward(images: np.ndarray) -> np.ndarray:
        with paddle.no_grad():
            return net(paddle.to_tensor(images)).numpy()

    return {**facts, "forward": forward, "transforms": build_transforms(cfg["DataLoader"]["Eval"]["transforms"])}


def draw_network(cfg: Config, images: Sequence[str | Path], output: Path, weights: str | Path | None = None) -> Path:
    """Draw a line for each image: the image, and `panels` of what the network makes of it.

    Args:
        cfg: of a run of this package.
        images: files, and folders of them; the first `drawing.LINES` that can be read are drawn.
        output: the picture.
        weights: see `load_network`.

    Raises:
        FileNotFoundError: there are no weights, or no image.
        ValueError: the network does not take images, or none of the files can be read.
        RuntimeError: matplotlib is not installed.
    """
    require("matplotlib", "benchmark")
    net, facts = load_network(cfg, weights)
    facts = facts or data_facts(build_loader(cfg, "Eval").dataset)
    if not isinstance(facts.get("image_mode"), str):
        raise ValueError(f"{cfg['Arch']['name']} does not classify images: there are no pictures of it")
    transforms = build_transforms(cfg["DataLoader"]["Eval"]["transforms"])
    lines = []
    for image in read_images(images, facts["image_mode"]):
        inputs = paddle.to_tensor(transforms(image)[None])
        lines.append([("image", np.asarray(image)), *panels(net, inputs)])
    return draw_lines(lines, output)
