"""Loading weights: this package's own files, and the authors' checkpoints."""

from .formats import read_file
from .loading import load_state, load_weights, read_weights
from .reference import SOURCES, load_reference, reference_keys

__all__ = ["SOURCES", "load_reference", "load_state", "load_weights", "read_file", "read_weights", "reference_keys"]
