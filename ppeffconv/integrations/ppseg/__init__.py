"""PaddleSeg 2.8.0 on Paddle 3.3, with this package's networks.

``register()`` makes `EffConvResNet` (backbone) and `DilatedFPN` (model) known to PaddleSeg's configurations, and
corrects, inside its own modules, what keeps it from training on this Paddle.
``python -m ppeffconv.integrations.ppseg train|eval|infer -c CONFIG`` runs its training loop, readers and metrics.
"""

from __future__ import annotations


def register() -> None:
    """Register the adapters and apply the fixes; once is enough, and more often does no harm.

    Raises:
        ImportError: PaddleSeg is not installed; the message says which command installs it.
        RuntimeError: another version of it or of Paddle is.
    """
    from . import fixes

    fixes.apply()
    from . import adapters  # noqa: F401 - importing registers
