"""Optimizer and learning-rate schedule from a configuration."""

from __future__ import annotations

import math
from typing import Any

import paddle
from paddle import nn

from ..layers import undecayed_parameters
from ..utils.logger import get_logger

Block = dict[str, Any]


def build_optimizer(cfg: Block, net: nn.Layer, steps_per_epoch: int, epochs: int) -> paddle.optimizer.Optimizer:
    """Return the optimizer of ``cfg`` (the Optimizer block) with its learning rate scheduled step by step.

    Weight decay is an L2 penalty for SGD, Momentum and Adam and decoupled for AdamW. Parameters of one dimension
    (biases, scales and shifts of norms) are exempt with ``decay_norm_and_bias: false``, and always those that are no
    weights (`layers.undecayed_parameters`).

    Raises:
        ValueError: ``nesterov`` without Momentum.
    """
    if cfg["nesterov"] and cfg["name"] != "Momentum":
        raise ValueError(f"Optimizer.nesterov is for Momentum, got Optimizer.name={cfg['name']}: set it to false")
    if cfg["schedule"]["warmup_epochs"] > epochs / 2:
        get_logger().info(f"warm-up takes half of the run: {epochs / 2:g} of {epochs} epochs")
    arguments: Block = {
        "learning_rate": paddle.optimizer.lr.LambdaDecay(
            1.0, lambda step: learning_rate(cfg, step, steps_per_epoch, epochs)
        ),
        "parameters": net.parameters(),
        "weight_decay": cfg["weight_decay"] or None,
        "grad_clip": nn.ClipGradByGlobalNorm(cfg["grad_clip"]) if cfg["grad_clip"] else None,
    }
    exempt = [] if cfg["decay_norm_and_bias"] else [p for p in net.parameters() if p.ndim <= 1]
    exempt += undecayed_parameters(net)
    if cfg["name"] == "AdamW":
        names = {p.name for p in exempt}
        arguments["weight_decay"] = cfg["weight_decay"]
        arguments["apply_decay_param_fun"] = lambda name: name not in names
    else:
        # Parameter groups would say this better, but Optimizer.minimize, which paddle.Model calls, rejects them.
        for parameter in exempt:
            parameter.regularizer = paddle.regularizer.L2Decay(0.0)
    if cfg["name"] == "Momentum":
        arguments |= {"momentum": cfg["momentum"], "use_nesterov": cfg["nesterov"]}
    return getattr(paddle.optimizer, cfg["name"])(**arguments)


def learning_rate(cfg: Block, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the learning rate of training step ``step`` (from 0), a function of nothing but its arguments.

    Warm-up rises linearly to ``lr`` over the first ``warmup_epochs``, or half of a run that is too short for them.
    After it, Cosine falls to ``min_lr`` at the end of the last epoch, Step multiplies by ``gamma`` from each epoch in
    ``milestones`` on, Constant stays.
    """
    schedule = cfg["schedule"]
    warmup = min(schedule["warmup_epochs"], epochs / 2) * steps_per_epoch
    if step < warmup:
        return cfg["lr"] * (step + 1) / warmup
    if schedule["name"] == "Cosine":
        progress = min(1.0, (step - warmup) / (epochs * steps_per_epoch - warmup))
        return schedule["min_lr"] + (cfg["lr"] - schedule["min_lr"]) * (1 + math.cos(math.pi * progress)) / 2
    if schedule["name"] == "Step":
        passed = sum(step >= epoch * steps_per_epoch for epoch in schedule["milestones"])
        return cfg["lr"] * schedule["gamma"] ** passed
    return cfg["lr"]
