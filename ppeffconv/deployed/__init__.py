"""The deploy form: a network as one small program that a compiled engine or plain Paddle runs."""

from . import basic, ddf, networks, octave, sampling, small_methods, spconv, versatile
from .fold import NotLowerable
from .islands import deploy
from .layer import Deployed
from .lower import lower
from .program import Program

__all__ = ["Deployed", "NotLowerable", "Program", "deploy", "lower"]
