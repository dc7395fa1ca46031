"""Export for inference: a folder with a static program and its weights, checked by loading it back."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from paddle import nn

from ..deployed import Deployed, bare, is_deployed
from ..deployed import deploy as deploy_form
from ..deployed.islands import GAIN
from ..deployed.precision import choose
from ..deployed.trial import race
from ..utils.logger import get_logger
from ..utils.messages import brief
from ..utils.modes import eval_mode
from ..utils.numbers import is_shape, is_size
from ..utils.rng import fixed_seed
from . import bundle
from .manifest import describe, own_facts, report, smallest_size
from .onnx import convert, require_onnx, runner
from .predictor import Predictor, require_engine
from .traced import Traced, deployed_layers
from .verify import Check, compare, confirmed_size, try_images

_ONE_AT_A_TIME = threading.Lock()  # two traces in threads of one process end it


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
    measure: bool = True,
) -> Path:
    """Save what ``net`` computes in eval mode as a folder for `Predictor`, for any batch size, height and width.

    The folder is loaded back and must give the network's own numbers for random images, in batches of 1 and 3 and for
    another, odd height and width; only then does it take its place, all files at once. A sampling network is compared
    with its deploy form in plain Paddle, whose masks are hard and depend on ``seed`` alone.

    Args:
        net: [N, C, H, W] -> tensor, or tensors in lists, tuples and dicts. One that `deploy` returned is saved as it
            is; of a `paddle.DataParallel` the network in it.
        path: of the folder, which is made; an earlier export there is replaced.
        input_shape: (C, H, W); the size with which it is tested.
        deploy: put the compiled engine into the program, see `ppeffconv.deploy`. False gives a stock export, of
            Paddle's own operators: slower, for machines without the engine and for other runtimes.
        dtype: of the feature maps in the engine, "float32", "bfloat16" or "auto", the one that is faster on this
            machine; ``accuracy`` in the manifest tells its price. A stock export is in float32.
        seed: of the sampling noise.
        onnx: add ``model.onnx``, checked in onnxruntime; in Paddle's own operators whatever ``deploy`` is.
        fixed_size: save for this height and width only, for a network that cannot take others.
        info: what prediction needs to know besides (``transforms``, ``image_mode``, ``class_names``), as JSON can hold.
        measure: a network that is no single program is saved with programs in it, or in Paddle's own operators, as is
            faster on this machine; ``report`` in the manifest says so. False takes the programs without measuring.

    Returns:
        its path.

    Raises:
        ValueError: an argument is wrong, or (`NoDeployFormError`) no part of the network has a deploy form.
        RuntimeError: the engine is not there; the network does not take such images, is random in eval mode, or cannot
            be traced; what was saved gives other numbers; ONNX is asked for and cannot be had.
    """
    net, path = bare(net, "export"), bundle.as_path(path)
    _check_arguments(input_shape, seed)
    dtype, input_shape = choose(dtype, "auto" if deploy else "reference", "export"), tuple(map(int, input_shape))
    _check_means(deploy, dtype, onnx)
    with _ONE_AT_A_TIME, eval_mode(net), fixed_seed(0), bundle.replacing_folder(path) as draft:
        try_images(net, (1, *input_shape))
        form = _form(net, deploy, dtype, seed, input_shape)
        _check_dtype(form, deploy, onnx)
        check = Check(net, form, input_shape, fixed_size)
        facts = own_facts(info) | _save(form, draft, input_shape, fixed_size, deploy, measure)
        predictor = _reopened(draft)
        facts["accuracy"] = compare(predictor.run, check, "the exported program")
        facts["report"] = report(net, form, input_shape, predictor.densities) | {"measured": facts.pop("measured")}
        facts["smallest_size"] = confirmed_size(predictor, check, facts["smallest_size"])
        if onnx:
            facts["onnx_accuracy"] = _add_onnx(form, draft, input_shape, fixed_size, check)
        bundle.seal(draft, facts)
    return path


def _save(
    form: nn.Layer, draft: Path, input_shape: Sequence[int], fixed_size: bool, deploy: bool, measure: bool
) -> dict[str, Any]:
    """Save the program in ``draft`` and seal it; returns the facts about it.

    Of a network in parts, Paddle Inference may run its own operators faster than the parts' programs: the faster form
    is saved, and "measured" says so.
    """
    smallest = list(input_shape[1:]) if fixed_size else smallest_size(form, input_shape)

    def write(folder: Path, engine: bool) -> dict[str, Any]:
        traced = Traced(form, engine=engine)
        traced.save(folder / "model", input_shape, fixed_size)
        facts = describe(traced, input_shape, fixed_size) | {"smallest_size": smallest}
        bundle.seal(folder, facts)
        return facts

    facts = write(draft, deploy) | {"measured": ""}
    if not (facts["engine"] and measure) or facts["dtype"] != "float32" or isinstance(form, Deployed):
        return facts
    with tempfile.TemporaryDirectory() as scratch:
        stock = write(Path(scratch), False)
        images = np.random.default_rng(0).standard_normal((1, *input_shape)).astype("float32")
        predictors = [_reopened(Path(folder)) for folder in (draft, scratch)]
        ours, paddles = race(*(lambda one=one: one.run(images) for one in predictors))
        told = f"{ours:.2f} ms with programs, {paddles:.2f} ms by Paddle's own operators"
        if ours <= GAIN * paddles:
            return facts | {"measured": told}
        get_logger().info(f"a stock export, which is faster on this machine: {told}")
        for path in Path(scratch).iterdir():
            shutil.copy(path, draft / path.name)
        return stock | {"measured": f"a stock export, because it is faster: {told}"}


def _reopened(draft: Path) -> Predictor:
    """The predictor of what was saved; Paddle does not say whether all of it could be written."""
    try:
        return Predictor(draft)
    except (OSError, RuntimeError, ValueError) as error:
        raise RuntimeError(
            f"what was saved cannot be read back ({brief(error)}): is the disk full? Nothing was exported"
        ) from error


def _check_arguments(input_shape: Sequence[int], seed: int) -> None:
    if not is_shape(input_shape, 3):
        raise ValueError(f"input_shape must be (C, H, W), each an integer >= 1, got {input_shape!r}")
    if not is_size(seed, 0) or seed >= 2**31:
        raise ValueError(f"seed must be an integer in [0, 2^31), got {seed!r}")


def _check_means(deploy: bool, dtype: str, with_onnx: bool) -> None:
    """Raise unless what the export is for can run it, before any work is done."""
    if dtype != "float32" and not deploy:
        raise ValueError(f"deploy=False needs dtype float32: only the compiled engine computes in {dtype}")
    if deploy:
        require_engine("a deployed export")
    if with_onnx:
        require_onnx()


def _form(net: nn.Layer, deploy: bool, dtype: str, seed: int, input_shape: Sequence[int]) -> nn.Layer:
    """What is saved: the deploy form; NoDeployFormError if it is asked for and nothing in the network has one."""
    if is_deployed(net) or deployed_layers(net):
        return net
    form = deploy_form(net, dtype, seed, example=input_shape, measure=False)
    if deploy and not deployed_layers(form):
        kept = form.deploy_report.kept
        raise NoDeployFormError(
            f"no part of the network has a deploy form: {kept[0].reason if kept else 'it has no parameters'}. "
            "export(..., deploy=False) takes the network as it is"
        )
    return form


def _check_dtype(form: nn.Layer, deploy: bool, with_onnx: bool) -> None:
    if (with_onnx or not deploy) and any(layer.program.dtype != "float32" for layer in deployed_layers(form)):
        asked = "onnx=True" if with_onnx else "deploy=False"
        raise ValueError(f"{asked} needs dtype float32: only the compiled engine computes in bfloat16")


def _add_onnx(form: nn.Layer, draft: Path, input_shape: Sequence[int], fixed_size: bool, check: Check) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        traced = Traced(form, engine=False, densities=False)
        traced.save(Path(scratch) / "model", input_shape, fixed_size)
        convert(Path(scratch), draft / bundle.ONNX)
    run = runner(draft / bundle.ONNX)
    return compare(
        lambda images: bundle.as_returned(traced.returns, run(images)), check, "the ONNX model in onnxruntime"
    )
