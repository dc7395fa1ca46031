"""Optimizer state by the structured names of parameters, so that it can be loaded in any process.

Paddle names a parameter after a global counter (``conv2d_7.w_0``) and its accumulators after another
(``conv2d_7.w_0_velocity_0``). Both depend on what the process built before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

SCHEDULE = "LR_Scheduler"
MASTER = "master_weights"


def optimizer_state(optimizer: paddle.optimizer.Optimizer, net: nn.Layer) -> dict[str, Any]:
    """Return the state of ``optimizer``: ``{accumulator: {structured name: Tensor}}`` and the schedule's state."""
    _create_accumulators(optimizer)
    state = optimizer.state_dict()
    structured = {parameter.name: name for name, parameter in net.named_parameters()}
    result: dict[str, Any] = {MASTER: {structured[name]: weight for name, weight in state.get(MASTER, {}).items()}}
    if SCHEDULE in state:
        result[SCHEDULE] = state[SCHEDULE]
    for kind, name, key in _accumulators(state, structured):
        result.setdefault(kind, {})[structured[name]] = state[key]
    return result


def set_optimizer_state(optimizer: paddle.optimizer.Optimizer, net: nn.Layer, saved: dict[str, Any]) -> None:
    """Restore what ``optimizer_state`` returned.

    Raises:
        ValueError: it is the state of another optimizer, or lacks a parameter.
    """
    _create_accumulators(optimizer)
    state = optimizer.state_dict()
    structured = {parameter.name: name for name, parameter in net.named_parameters()}
    parameters = dict(net.named_parameters())
    loaded = {MASTER: {parameters[name].name: paddle.to_tensor(w) for name, w in saved.get(MASTER, {}).items()}}
    if SCHEDULE in saved:
        loaded[SCHEDULE] = saved[SCHEDULE]
    for kind, name, key in _accumulators(state, structured):
        if structured[name] not in saved.get(kind, {}):
            raise ValueError(
                f"the saved optimizer state has no '{kind}' for {structured[name]}: "
                f"it is not the state of {type(optimizer).__name__} for this network"
            )
        loaded[key] = np.asarray(saved[kind][structured[name]])
    optimizer.set_state_dict(loaded)


def _create_accumulators(optimizer: paddle.optimizer.Optimizer) -> None:
    """Create them now: Paddle does so in the first step, and until then their names are not known."""
    block = paddle.base.framework.default_main_program().global_block()
    optimizer._create_accumulators(block, [p for p in optimizer._parameter_list if not p.stop_gradient])


def _accumulators(state: dict[str, Any], structured: dict[str, str]) -> list[tuple[str, str, str]]:
    """Split the keys ``<parameter>_<kind>_<counter>`` of ``state`` into (kind, parameter, key)."""
    result = []
    for key in state:
        names = [name for name in structured if key.startswith(f"{name}_")]
        if names:
            name = max(names, key=len)  # linear_1.w_1 before linear_1.w
            result.append((key[len(name) + 1 :].rpartition("_")[0], name, key))
    return result
