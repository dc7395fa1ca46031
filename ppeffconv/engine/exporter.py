"""Export for inference: a folder with a static program and its weights, checked by loading it back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paddle import nn

from .. import deployed
from ..deployed.program import DTYPES
from ..utils.modes import eval_mode
from . import bundle
from .facts import describe, own_facts, report
from .loadback import Check, compare
from .onnx import convert, require_onnx, runner
from .predictor import Predictor, require_engine
from .rng import fixed_seed
from .traced import Traced, deployed_layers


class NoDeployFormError(ValueError):
    """No part of a network has a deploy form."""


def export(
    net: nn.Layer,
    path: str | Path,
    input_shape: Sequence[int],
    deploy: bool = True,
    *,
    dtype: str = "float32",
    seed: int = 0,
    onnx: bool = False,
    fixed_size: bool = False,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """Save what ``net`` computes in eval mode as a folder for `Predictor`, for any batch size, height and width.

    The folder is loaded back and must give the network's own numbers for random images, in batches of 1 and 3 and for
    another, odd height and width; only then does it take its place, all files at once. A sampling network is compared
    with its deploy form in plain Paddle, whose masks are hard and depend on ``seed`` alone.

    Args:
        net: [N, C, H, W] -> tensor or list of tensors. One that `deploy` returned is saved as it is.
        path: of the folder, which is made; an earlier export there is replaced.
        input_shape: (C, H, W); the size with which it is tested.
        deploy: put the compiled engine into the program, see `ppeffconv.deploy`. False gives a stock export, of
            Paddle's own operators: slower, for machines without the engine and for other runtimes.
        dtype: of the feature maps in the engine, "float32" or "bfloat16"; ``accuracy`` in the manifest tells its price.
            A stock export is in float32.
        seed: of the sampling noise.
        onnx: add ``model.onnx``, checked in onnxruntime; in Paddle's own operators whatever ``deploy`` is.
        fixed_size: save for this height and width only, for a network that cannot take others.
        info: what prediction needs to know besides (``transforms``, ``image_mode``, ``class_names``), as JSON can hold.

    Returns:
        ``path``.

    Raises:
        ValueError: an argument is wrong, or (`NoDeployFormError`) no part of the network has a deploy form.
        RuntimeError: the engine is not there; the network is random in eval mode, or cannot be traced; what was saved
            gives other numbers; ONNX is asked for and cannot be had.
    """
    _check_arguments(input_shape, deploy, dtype, seed, onnx)
    with eval_mode(net), fixed_seed(0), bundle.replacing_folder(path) as draft:
        form = _form(net, deploy, dtype, seed)
        _check_dtype(form, deploy, onnx)
        traced = Traced(form, engine=deploy)
        traced.save(draft / "model", input_shape, fixed_size)
        facts = {**describe(traced, input_shape, fixed_size), **own_facts(info)}
        bundle.seal(draft, facts)
        check = Check(net, form, input_shape, fixed_size)
        predictor = Predictor(draft)
        facts["accuracy"] = compare(predictor.run, check, "the exported program")
        facts["report"] = report(net, form, input_shape, predictor.densities)
        if onnx:
            facts["onnx_accuracy"] = _add_onnx(form, draft, input_shape, fixed_size, check)
        bundle.seal(draft, facts)
    return Path(path)


def _check_arguments(input_shape: Sequence[int], deploy: bool, dtype: str, seed: int, with_onnx: bool) -> None:
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ValueError(f"input_shape must be (C, H, W), each >= 1, got {tuple(input_shape)}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if dtype != "float32" and not deploy:
        raise ValueError(f"deploy=False needs dtype float32: only the compiled engine computes in {dtype}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must lie in [0, 2^31), got {seed}")
    if deploy:
        require_engine("a deployed export")
    if with_onnx:
        require_onnx()


def _form(net: nn.Layer, deploy: bool, dtype: str, seed: int) -> nn.Layer:
    """What is saved: the deploy form, or the network itself where nothing has one and nothing needs it."""
    if deployed_layers(net):
        return net
    try:
        return deployed.deploy(net, dtype, seed)
    except ValueError as error:
        if deploy:
            raise NoDeployFormError(f"{error}. export(..., deploy=False) takes the network as it is") from error
        return net


def _check_dtype(form: nn.Layer, deploy: bool, with_onnx: bool) -> None:
    if (with_onnx or not deploy) and any(layer.program.dtype != "float32" for layer in deployed_layers(form)):
        asked = "onnx=True" if with_onnx else "deploy=False"
        raise ValueError(f"{asked} needs dtype float32: only the compiled engine computes in bfloat16")


def _add_onnx(form: nn.Layer, draft: Path, input_shape: Sequence[int], fixed_size: bool, check: Check) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        Traced(form, engine=False, densities=False).save(Path(scratch) / "model", input_shape, fixed_size)
        convert(Path(scratch), draft / bundle.ONNX)
    return compare(runner(draft / bundle.ONNX), check, "the ONNX model in onnxruntime")
