"""Loading weights: the published ones, this package's own files, and the authors' checkpoints."""

from .formats import read_file
from .loading import load_fitting, load_state, load_weights, offset_keys, read_weights
from .pretrained import find_pretrained, find_tag
from .publish import publish
from .reference import SOURCES, load_reference, reference_keys
from .remote import fetch
from .table import Row, pretrained_models, rows, table

__all__ = [
    "SOURCES",
    "Row",
    "fetch",
    "find_pretrained",
    "find_tag",
    "load_fitting",
    "load_reference",
    "load_state",
    "load_weights",
    "offset_keys",
    "pretrained_models",
    "publish",
    "read_file",
    "read_weights",
    "reference_keys",
    "rows",
    "table",
]
