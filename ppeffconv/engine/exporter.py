"""Export for inference: Paddle's static program and weights, checked by loading them back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

from .predictor import INFO, PARAMETERS, PROGRAM, Predictor
from .rng import fixed_seed

TOLERANCE = 1e-5  # of the standard deviation of the outputs
BATCHES = (1, 3)


def export(net: nn.Layer, path: str | Path, input_shape: Sequence[int], info: Mapping[str, Any] | None = None) -> Path:
    """Save ``net`` in eval mode, for any batch size, as ``path.json`` (program), ``path.pdiparams`` and ``path.yaml``.

    The files are loaded back and must give the network's own numbers for random batches of 1 and 3; only then do they
    take their place, so an earlier export survives a failure.

    Args:
        net: [N, C, H, W] -> logits, and the same output for the same input.
        path: without a suffix; its folder is made.
        input_shape: (C, H, W).
        info: what prediction needs to know besides (``transforms``, ``image_mode``, ``class_names``), as YAML can hold.

    Returns:
        ``path``, for ``Predictor``.

    Raises:
        ValueError: ``input_shape`` is not (C, H, W).
        RuntimeError: the network is random in eval mode, or what was saved gives other numbers.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ValueError(f"input_shape must be (C, H, W), each >= 1, got {tuple(input_shape)}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    modes = [(layer, layer.training) for layer in net.sublayers(include_self=True)]
    net.eval()
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export") as folder, fixed_seed(0):
            draft = Path(folder) / path.name
            _save(net, draft, input_shape, info or {})
            _check(net, draft, input_shape)
            for suffix in (PROGRAM, PARAMETERS, INFO):
                os.replace(f"{draft}{suffix}", f"{path}{suffix}")
    finally:
        for layer, training in modes:
            layer.training = training
    return path


def _save(net: nn.Layer, path: Path, input_shape: Sequence[int], info: Mapping[str, Any]) -> None:
    spec = paddle.static.InputSpec([None, *input_shape], "float32", name="images")
    paddle.jit.save(net, str(path), input_spec=[spec])
    facts = {"input_shape": list(input_shape), **info}
    Path(f"{path}{INFO}").write_text(yaml.safe_dump(facts, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _check(net: nn.Layer, path: Path, input_shape: Sequence[int]) -> None:
    """Raise RuntimeError unless the saved program computes what ``net`` computes."""
    predictor = Predictor(path)
    for batch in BATCHES:
        images = np.random.default_rng(batch).standard_normal((batch, *input_shape)).astype("float32")
        with paddle.no_grad():
            expected, again = (net(paddle.to_tensor(images)).numpy() for _ in range(2))
        if not np.isfinite(expected).all():
            raise RuntimeError("the network's output for random images is not finite: train it before it is exported")
        if not np.array_equal(expected, again):
            raise RuntimeError(
                "the network gives two outputs for one input in eval mode, so its export cannot be checked or relied "
                "on: choose a deterministic eval mode (sampling networks: -o Arch.eval_mode=deterministic)"
            )
        got = predictor.run(images)
        error = float(np.abs(got - expected).max()) if got.shape == expected.shape else np.inf
        bound = TOLERANCE * float(expected.std())
        if not error <= bound:  # NaN fails as well
            raise RuntimeError(
                f"the exported program differs from the network by {error:.2e} on a batch of {batch} "
                f"(expected at most {bound:.2e}): nothing was exported"
            )
