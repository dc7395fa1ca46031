"""The networks of `benchmark.py deploy`, and running them in our deploy form."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from ppeffconv import deploy
from ppeffconv.deployed import Deployed
from ppeffconv.models import create_model
from ppeffconv.ops import loader
from ppeffconv.ops.deployed import step_times

from .layer_kinds import by_kind, multiply_adds
from .peers import models
from .peers.serve import Job, forget_peak

ALWAYS = 1 / 11**2  # share of positions that the grid keeps
PROFILES = 9  # of which the medians are taken


def build(
    network: str, options: Mapping[str, Any], images: np.ndarray | None = None, density: float | None = None
) -> nn.Layer:
    """A network in eval mode, the same weights each time; a sampling one with masks of ``density`` on ``images``."""
    paddle.seed(0)
    net = create_model(network, **options)
    net.eval()
    if density is not None:
        _set_density(net, paddle.to_tensor(images), density)
    return net


def _set_density(net: nn.Layer, images: Tensor, density: float) -> None:
    """Random mask branches, with biases such that the share of positive logits is what is wanted beyond the grid."""
    keep = (density - ALWAYS) / (1 - ALWAYS)

    def centre(branch: nn.Layer, _: Any, logits: Tensor) -> Tensor:
        values = np.sort(logits.numpy(), axis=None)
        first = round((1 - keep) * values.size)
        # between two logits, where rounding does not decide
        threshold = values[0] - 1 if first == 0 else (values[first - 1] + values[min(first, values.size - 1)]) / 2
        branch.bias.set_value(paddle.full([1], -float(threshold)))
        return logits - float(threshold)

    hooks = []
    for name, branch in net.named_sublayers():
        if name.endswith("_mask"):
            branch.weight.set_value(paddle.randn(branch.weight.shape) / math.sqrt(branch.weight[0].size))
            branch.bias.set_value(paddle.zeros([1]))
            hooks.append(branch.register_forward_post_hook(centre))
    with paddle.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()


def run(
    network: str,
    options: dict[str, Any],
    size: int,
    batch: int,
    dtype: str = "float32",
    density: float | None = None,
    folder: str | None = None,
    layers: bool = False,
) -> Job:
    """A network in our deploy form, from an array of images to an array of logits.

    Args:
        folder: with the images and the expected logits; None for any images.
        layers: measure the time of each kind of step too.
    """
    shape = (batch, 3, size, size)
    x = models.images(folder, batch) if folder else np.random.default_rng(0).standard_normal(shape, np.float32)
    net = deploy(build(network, options, x, density), dtype)

    def step() -> np.ndarray:
        with paddle.no_grad():
            return net(paddle.to_tensor(x)).numpy()

    logits = step()
    densities = list(net.densities.values())
    facts = {"version": f"Paddle {paddle.version.full_version}", "kernels": sorted(loader.library().ops)}
    facts["dtype"] = dtype
    facts["macs"] = batch * multiply_adds(net.program, shape, densities)
    if densities:
        facts["density"] = sum(densities) / len(densities)
    if folder is not None:
        facts["error"] = models.error(folder, logits)
    if layers and "deployed" in loader.library().ops:
        facts["layers"] = _layers(net, paddle.to_tensor(x))
    forget_peak()  # that of building and folding
    return Job(step, lambda: facts)


def _layers(net: Deployed, x: Tensor) -> dict[str, float]:
    """Milliseconds by kind of step."""
    with paddle.no_grad():
        runs = [step_times(lambda: net(x)) for _ in range(PROFILES)]
    return by_kind([step.op for step in net.program.steps], [statistics.median(times) for times in zip(*runs)])
