"""The parts that training, evaluation, prediction and export all build from a configuration."""

from __future__ import annotations

import re
from typing import Any

import paddle
from paddle import nn

from ..models import create_model
from ..utils.device import is_gpu, use_device
from ..utils.modes import eval_mode
from ..utils.rng import fixed_seed
from .distributed import processes

Config = dict[str, Any]


def set_device(device: str) -> str:
    """Choose where to compute and return its name. "auto" is the first GPU of this process if there is one, else CPU.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
    if is_gpu(device) and gpus <= int(device.partition(":")[2] or 0):
        reason = f"Paddle sees {gpus}" if paddle.is_compiled_with_cuda() else "this Paddle is built for CPU only"
        raise ValueError(f"Global.device is {device}, but {reason}: use Global.device=cpu or auto")
    if device in ("auto", "gpu"):
        # The launcher hands each process its own card; ParallelEnv has no card without a GPU.
        card = paddle.distributed.ParallelEnv().device_id if gpus and processes() > 1 else 0
        device = f"gpu:{card}" if gpus else "cpu"
    return use_device(device)


def build_network(cfg: Config) -> nn.Layer:
    """Return the network of the Arch block; ValueError for an unknown name or argument."""
    return create_model(**cfg["Arch"])


def check_input(net: nn.Layer, shape: tuple[int, ...], name: str) -> None:
    """Raise ValueError unless ``net`` takes an image of ``shape`` (C, H, W), as the transforms make it."""
    try:
        with eval_mode(net), paddle.no_grad(), fixed_seed(0):
            net(paddle.zeros([1, *shape]))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"the network {name} does not take the images that the transforms make, {shape[0]} channels of "
            f"{shape[1]}x{shape[2]}: {first_line(error)}. {_advice(net, shape)}"
        ) from None


def _advice(net: nn.Layer, shape: tuple[int, ...]) -> str:
    """What fits a network and images of ``shape`` together: their channels, where those are known to differ."""
    stem = next((parameter.shape[1] for parameter in net.parameters() if parameter.ndim == 4), None)
    wanted = getattr(net, "in_channels", stem)
    modes = {1: "L, which makes them grey,", 3: "RGB"}
    if wanted == shape[0]:
        return "Give the images another size"
    if wanted in modes and shape[0] in modes:
        return (
            f"The network has Arch.in_channels={wanted}: give the data sets image_mode: {modes[wanted]} if the images "
            f"shall have as many. Set Arch.in_channels={shape[0]} if the network shall take them as they are"
        )
    return f"Set Arch.in_channels={shape[0]}, or another size"


def first_line(error: BaseException) -> str:
    """Return what an error says, without the C++ stack that Paddle puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"\w*Error: |\(\w+\) ", line)]
    return (telling or lines or [type(error).__name__])[0]
