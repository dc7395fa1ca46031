"""`deploy`: the deploy form of a network, whole or, where a part of it has none, of the layers it is made of."""

from __future__ import annotations

import copy

from paddle import nn

from ..accelerate import accelerate
from .fold import NotLowerable
from .layer import Deployed
from .lower import lower
from .program import DTYPES
from .report import DeployReport, Kept

LEAVES = (nn.Conv2D, nn.Linear)  # alone they are better off as they are


def deploy(net: nn.Layer, dtype: str = "float32", seed: int = 0, backend: str = "auto") -> nn.Layer:
    """The form of a trained network for inference: what ``net`` computes in eval mode, in fewer passes.

    Batch norms are folded into weights, activations and residual sums are fused, and the whole network becomes one
    program (`Deployed`) with frozen float32 weights, which the compiled engine runs where it is loaded, and plain
    Paddle elsewhere. Of a network with a forward that is not known here, the largest layers that are known become
    programs, and the rest stays. `ppeffconv.deployed.report` says what became of what.

    Sampling networks sample hard masks: without noise if they were told so (``eval_mode`` or ``sampling`` is
    "deterministic"), else with noise that depends on ``seed``, the position and nothing else.

    Args:
        net: any network [N, C, H, W] -> tensor or list of tensors; it is not changed.
        dtype: of the feature maps, "float32" or "bfloat16".
        seed: of the sampling noise.
        backend: "auto", "cpu" (the engine) or "reference" (plain Paddle); see `Deployed`.

    Returns:
        `Deployed`, or a copy of ``net`` in eval mode with `Deployed` layers in it. Neither can be trained.

    Raises:
        ValueError: an unknown argument, or a network of which nothing can be deployed; the message says why.
    """
    if not isinstance(net, nn.Layer):
        raise ValueError(f"deploy: net must be a paddle.nn.Layer, got {type(net).__name__}")
    if dtype not in DTYPES:
        raise ValueError(f"deploy: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"deploy: seed must be an integer in [0, 2^31), got {seed!r}")
    try:
        return _deployed(net, "", dtype, seed, backend)
    except NotLowerable as error:
        return _Islands(dtype, seed, backend).build(net, error.reason if error.layer is net else str(error))


def report(net: nn.Layer) -> DeployReport:
    """What `deploy` made of a network; ``net`` is what it returned."""
    if isinstance(net, Deployed):
        return DeployReport([net.part])
    found = getattr(net, "deploy_report", None)
    if not isinstance(found, DeployReport):
        raise ValueError(f"report: expected a network that ppeffconv.deploy returned, got {type(net).__name__}")
    return found


def _deployed(net: nn.Layer, name: str, dtype: str, seed: int, backend: str) -> Deployed:
    lowered = lower(net, dtype, seed, name)
    return Deployed(lowered.program, backend, name, type(net).__name__, lowered.returns, lowered.notes)


class _Islands:
    """Puts a `Deployed` wherever it can into a copy of a network."""

    def __init__(self, dtype: str, seed: int, backend: str) -> None:
        self.arguments = dtype, seed, backend
        self.kept: list[Kept] = []
        self.found: dict[int, Deployed] = {}

    def build(self, net: nn.Layer, reason: str) -> nn.Layer:
        """The copy; ValueError if nothing in it can be deployed."""
        self._visit(net, "", reason)
        if not self.found:
            raise ValueError(f"deploy: no part of the network has a deploy form: {reason}")
        new = copy.deepcopy(net, dict(self.found))
        new.eval()
        accelerate(new)
        new.deploy_report = DeployReport([layer.part for layer in self.found.values()], self.kept)
        return new

    def _visit(self, layer: nn.Layer, name: str, reason: str) -> None:
        if layer.parameters():
            self.kept.append(Kept(name, type(layer).__name__, reason))
        for child_name, child in layer.named_children():
            path = f"{name}.{child_name}" if name else child_name
            if id(child) in self.found or isinstance(child, Deployed):
                continue
            try:
                self.found[id(child)] = self._try(child, path)
            except NotLowerable as error:
                self._visit(child, path, error.reason if error.layer in (child, None) else str(error))

    def _try(self, layer: nn.Layer, path: str) -> Deployed:
        if isinstance(layer, LEAVES):
            raise NotLowerable("alone, with nothing to fuse")
        made = _deployed(layer, path, *self.arguments)
        if not any(step.weights for step in made.program.steps if step.op != "affine"):
            raise NotLowerable("alone, with nothing to fuse")
        return made
