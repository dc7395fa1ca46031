"""PaddleDetection 2.6.0 on Paddle 3.3, with this package's networks.

``register()`` makes `EffConvResNet` (backbone) and `EffConvFPN` (neck) known to PaddleDetection's configurations, and
corrects, inside its own modules, what keeps it from training on this Paddle.
``python -m ppeffconv.integrations.ppdet train|eval|infer -c CONFIG`` runs its Trainer, readers and metrics.
"""

from __future__ import annotations


def register() -> None:
    """Register the adapters, apply the fixes, and let the networks' own losses join PaddleDetection's total.

    Once is enough, and more often does no harm.

    Raises:
        ImportError: PaddleDetection is not installed, or cannot be imported; the message says what to do.
        RuntimeError: another version of it or of Paddle is installed.
    """
    from . import fixes

    fixes.apply()
    from . import losses, neck  # noqa: F401 - importing registers

    losses.join_auxiliary_losses()
