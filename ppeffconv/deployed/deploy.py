"""`deploy`: the deploy form of a network, whole or, where a part of it has none, of the layers it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn

from ..utils.numbers import is_size
from .fold import NotLowerable
from .islands import Islands
from .layer import Deployed
from .lower import input_channels, lower
from .precision import choose
from .report import DeployReport, as_images, timing
from .trial import Trial


def deploy(
    net: nn.Layer,
    dtype: str = "float32",
    seed: int = 0,
    backend: str = "auto",
    *,
    example: Any = None,
    measure: bool = True,
) -> nn.Layer:
    """The form of a trained network for inference: what ``net`` computes in eval mode, in fewer passes.

    Batch norms are folded into weights, activations and residual sums are fused, and the whole network becomes one
    program (`Deployed`) with frozen float32 weights, which the compiled engine runs where it is loaded, and plain
    Paddle elsewhere. Of a network with a forward that is not known here, the largest layers that are known become
    programs, and the rest stays. Such a network is tried on ``example``: a layer stays as it was where the network
    cannot use a program in its place, where the numbers would change, and where nothing would be faster. ``report()``
    of what is returned, or `ppeffconv.deployed.report`, says what became of what.

    Sampling networks sample hard masks: without noise if they were told so (``eval_mode`` or ``sampling`` is
    "deterministic"), else with noise that depends on ``seed``, the position and nothing else.

    Args:
        net: any network [N, C, H, W] -> tensor or list of tensors; it is not changed. Of a `paddle.DataParallel` the
            network in it is taken; what `deploy` returned is returned as it is.
        dtype: of the feature maps, "float32", "bfloat16" or "auto": that of the two which is faster on this machine.
        seed: of the sampling noise.
        backend: "auto", "cpu" (the engine) or "reference" (plain Paddle); see `Deployed`.
        example: what a network that is not known as a whole is tried on: (C, H, W) of a usual image, a tensor, or a
            tuple of the arguments of its forward. By default images of 224x224, and then of other usual sizes.
        measure: keep layers as they are that would not be faster as programs, on this machine and with as many threads
            as Paddle has now. False makes the choice depend on the network alone.

    Returns:
        `Deployed`, or a copy of ``net`` in eval mode, accelerated, with `Deployed` layers in it. Neither can be
        trained.

    Raises:
        ValueError: an unknown argument, a network that cannot be copied, or one that does not take ``example``.
    """
    net = bare(net, "deploy")
    if not is_size(seed, 0) or seed >= 2**31:
        raise ValueError(f"deploy: seed must be an integer in [0, 2^31), got {seed!r}")
    dtype = choose(dtype, backend, "deploy")
    if is_deployed(net):
        return _again(net, dtype)

    def lowered(layer: nn.Layer, name: str = "") -> Deployed:
        made = lower(layer, dtype, seed, name)
        return Deployed(made.program, backend, name, type(layer).__name__, made.returns, made.notes)

    try:
        return lowered(net)
    except NotLowerable as error:
        reason = error.reason if error.layer is net else str(error)
    with _random_state_kept():
        new, found = Islands(Trial(net, example, _channels(net)), lowered, measure).build(reason)
    new.deploy_report = found
    if not hasattr(new, "report"):
        new.report = MethodType(_report, new)
    return new


def bare(net: nn.Layer, what: str) -> nn.Layer:
    """The network, out of a `paddle.DataParallel` around it; ValueError, which names ``what``, if it is none."""
    while isinstance(net, paddle.DataParallel):
        net = net._layers
    if not isinstance(net, nn.Layer):
        hint = "; give model.network" if isinstance(net, paddle.Model) else ""
        raise ValueError(f"{what}: net must be a paddle.nn.Layer, got {type(net).__name__}{hint}")
    return net


def is_deployed(net: nn.Layer) -> bool:
    """Whether `deploy` returned this network."""
    return isinstance(net, Deployed) or isinstance(getattr(net, "deploy_report", None), DeployReport)


def report(net: nn.Layer) -> DeployReport:
    """What `deploy` made of a network; ``net`` is what it returned."""
    if not is_deployed(net):
        raise ValueError(f"report: expected a network that ppeffconv.deploy returned, got {type(net).__name__}")
    return DeployReport([net.part]) if isinstance(net, Deployed) else net.deploy_report


def _report(self: nn.Layer, on: Tensor | np.ndarray | None = None, rounds: int = 5) -> str:
    """As `Deployed.report`, of a network in parts: what became of what, and for images [N, C, H, W] the time."""
    lines, on = [str(self.deploy_report)], as_images(on)
    if on is not None and not isinstance(on, Tensor):
        raise ValueError(
            f"report: of a network in parts give images [N, C, H, W], got {on!r}; for the multiply-adds of a shape, "
            "ppeffconv.profile of the network that it was made of"
        )
    if on is not None:
        with paddle.no_grad():
            lines.append(timing(lambda: self(on), rounds, len(on)))
    return "\n".join(lines)


def _again(net: nn.Layer, dtype: str) -> nn.Layer:
    got = {part.program.dtype for part in report(net).parts}
    if got - {dtype}:
        raise ValueError(
            f"deploy: the network is deployed already, in {got.pop()}; for {dtype} deploy the one that it was made of"
        )
    return net


def _channels(net: nn.Layer) -> int:
    try:
        return input_channels(net)
    except NotLowerable:
        return 3


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """A trial of a network that draws noise does not change what is drawn later."""
    before = paddle.get_rng_state()
    try:
        yield
    finally:
        paddle.set_rng_state(before)
