"""The device that computes, by its name: `paddle.set_device` returns a Place in some versions of Paddle, not a name."""

from __future__ import annotations

import paddle


def device_name() -> str:
    """Return the name of the device that Paddle computes on: "cpu", "gpu:0", ..."""
    return paddle.device.get_device()


def use_device(name: str) -> str:
    """Let Paddle compute on the device ``name`` and return its full name ("gpu" becomes "gpu:0")."""
    paddle.set_device(name)
    return device_name()


def is_gpu(name: str | None = None) -> bool:
    """Whether ``name`` is that of a GPU; by default that of the device that Paddle computes on."""
    return (device_name() if name is None else name).startswith("gpu")
