"""Folding of what follows a layer: batch normalisation into its weights, the sum and the activation into its step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from paddle import nn

from ..layers.norm import is_batch_norm
from ..ops.precision import at_least_float32

if TYPE_CHECKING:
    from .builder import Map


class NotLowerable(ValueError):  # noqa: N818
    """A layer that has no deploy form; the message is the reason.

    Attributes:
        layer: the one at fault, once the message names it.
    """

    def __init__(self, reason: str, layer: nn.Layer | None = None, where: str = "") -> None:
        super().__init__(f"{where}: {reason}" if where else reason)
        self.reason, self.layer = reason, layer


@dataclass(frozen=True)
class Tail:
    """What follows a layer: ``act(scale * y + shift + add)``.

    Attributes:
        scale, shift: float64 arrays per channel, or None.
        add: a map like the output, or None.
        act: an activation of `steps.ACTIVATIONS`.
    """

    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    add: Map | None = None
    act: str = "none"

    @property
    def is_linear(self) -> bool:
        """Whether it is a scale and a shift alone."""
        return self.add is None and self.act == "none"

    @property
    def is_empty(self) -> bool:
        """Whether nothing follows."""
        return self.is_linear and self.scale is None and self.shift is None

    def before(self, other: Tail) -> Tail:
        """This tail, and then ``other``.

        Raises:
            ValueError: this one adds a map or has an activation, which no tail can have in its middle.
        """
        if not self.is_linear:
            raise ValueError(f"only a scale and a shift can come before another tail, got {self}")
        if self.scale is None and self.shift is None:
            return other
        scale = self.scale if other.scale is None else other.scale * (1.0 if self.scale is None else self.scale)
        shift = self.shift
        if other.scale is not None and shift is not None:
            shift = shift * other.scale
        if other.shift is not None:
            shift = other.shift if shift is None else shift + other.shift
        return replace(other, scale=scale, shift=shift)

    def linear(self) -> Tail:
        """Its scale and shift alone."""
        return replace(self, add=None, act="none")

    def split(self, widths: tuple[int, int]) -> tuple[Tail, Tail]:
        """The tails of the first and the other channels.

        Raises:
            ValueError: it adds a map, which is not split.
        """
        if self.add is not None:
            raise ValueError(f"a tail that adds a map cannot be split into {widths} channels")
        first = widths[0]
        parts = (slice(0, first), slice(first, None))
        return tuple(
            replace(
                self,
                scale=None if self.scale is None else self.scale[part],
                shift=None if self.shift is None else self.shift[part],
            )
            for part in parts
        )

    def affine(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift as arrays."""
        scale = np.ones(channels) if self.scale is None else self.scale
        return scale, np.zeros(channels) if self.shift is None else self.shift


NOTHING = Tail()


def array(tensor: Any) -> np.ndarray:
    """The numbers of a parameter, in float32 or wider."""
    return np.asarray(at_least_float32(tensor).numpy())


def _wide(tensor: Any) -> np.ndarray:
    return array(tensor).astype("float64")


def norm_tail(norm: nn.Layer, act: str = "none", add: Map | None = None) -> Tail:
    """The tail of a batch normalisation in eval mode, a sum and an activation.

    Raises:
        NotLowerable: the layer is another norm, or one that uses the batch's statistics.
    """
    if type(norm) is nn.Identity:
        return Tail(act=act, add=add)
    if not is_batch_norm(norm) or norm._data_format not in ("NCHW", "NC", "NCL"):
        raise NotLowerable(f"{type(norm).__name__} is no batch normalisation in NCHW that could be folded")
    if norm._use_global_stats is False:
        raise NotLowerable("a batch norm with use_global_stats=False depends on the batch, also in eval mode")
    scale = 1.0 / np.sqrt(_wide(norm._variance) + norm._epsilon)
    if norm.weight is not None:
        scale = scale * _wide(norm.weight)
    shift = -_wide(norm._mean) * scale
    if norm.bias is not None:
        shift = shift + _wide(norm.bias)
    return Tail(scale, shift, add, act)


def is_norm(layer: nn.Layer) -> bool:
    """Whether `norm_tail` can take it, as far as its class says."""
    return type(layer) is nn.Identity or is_batch_norm(layer)


def fold(weight: np.ndarray, bias: np.ndarray | None, tail: Tail) -> tuple[np.ndarray, np.ndarray | None]:
    """Weight [O, ...] and bias [O] of a layer followed by ``tail``'s scale and shift, which are float64."""
    if tail.scale is not None:
        weight = weight * tail.scale.reshape(-1, *[1] * (weight.ndim - 1))
        bias = None if bias is None else bias * tail.scale
    if tail.shift is not None:
        bias = tail.shift if bias is None else bias + tail.shift
    return weight, bias
