"""The deploy form: a network as one small program that a compiled engine or plain Paddle runs."""

# these are imported for the lowering functions that they register
from . import (  # noqa: F401
    basic,
    ddf,
    dense,
    networks,
    octave,
    octave_units,
    pyramid,
    sampling,
    sequence,
    small_methods,
    spconv,
    squeeze,
    versatile,
    vision,
)
from .deploy import bare, deploy, is_deployed, report
from .fold import NotLowerable
from .layer import Deployed
from .lower import lower
from .program import Program

__all__ = ["Deployed", "NotLowerable", "Program", "bare", "deploy", "is_deployed", "lower", "report"]
