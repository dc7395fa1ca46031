"""Automatic mixed precision as `paddle.Model` takes it, and its loss scale in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import paddle

from ..utils.device import is_gpu
from ..utils.logger import get_logger


def amp_configs(cfg: Mapping[str, Any], device: str) -> dict[str, Any] | None:
    """Return the ``amp_configs`` of ``paddle.Model.prepare`` for the AMP block ``cfg``; None for float32.

    Paddle has mixed precision on GPUs alone: elsewhere a warning says so, and the training is in float32.

    Args:
        cfg: the block, with ``enable``, ``level`` and ``init_loss_scaling``.
        device: name of the device that trains, such as "cpu" or "gpu:0".
    """
    if not cfg["enable"]:
        return None
    if not is_gpu(device):
        get_logger().warning(f"AMP.enable has no effect on {device}: Paddle trains in float32 there")
        return None
    return {"level": cfg["level"], "init_loss_scaling": cfg["init_loss_scaling"]}


def scaler_state(model: paddle.Model) -> dict[str, Any] | None:
    """Return the state of the loss scale of ``model``, None where it has none (float32, or before its first step)."""
    scaler = getattr(model, "_scaler", None)
    return scaler.state_dict() if scaler else None


def restore_scaler(model: paddle.Model, state: Mapping[str, Any] | None) -> None:
    """Give ``model``, prepared for mixed precision, the loss scale of a checkpoint; in float32 there is none to give.

    ``paddle.Model`` makes its scaler in the first step, and leaves alone one that is there.
    """
    if state and model._adapter._amp_level != "O0":
        model._scaler = paddle.amp.GradScaler(**model._adapter._amp_configs)
        model._scaler.load_state_dict(dict(state))
