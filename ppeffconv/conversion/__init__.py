"""Plug and play: the convolutions of any Paddle network replaced by those of a method."""

from .network import convert
from .report import Conversion, LayerReport

__all__ = ["Conversion", "LayerReport", "convert"]
