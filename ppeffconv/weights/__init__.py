"""Loading weights: the published ones, this package's own files, and the authors' checkpoints."""

from ..utils.lazy import import_lazily

__all__ = import_lazily(
    __name__,
    {
        "SOURCES": ".sources",
        "Row": ".table",
        "fetch": ".remote",
        "find_pretrained": ".pretrained",
        "find_tag": ".pretrained",
        "load_fitting": ".loading",
        "load_reference": ".reference",
        "load_state": ".loading",
        "load_weights": ".loading",
        "offset_keys": ".loading",
        "pretrained_models": ".table",
        "publish": ".publish",
        "read_file": ".formats",
        "read_weights": ".loading",
        "reference_keys": ".reference",
        "rows": ".table",
        "table": ".table",
    },
)
