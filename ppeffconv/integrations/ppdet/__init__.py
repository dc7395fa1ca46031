"""PaddleDetection 2.6.0 on Paddle 3.3, with this package's networks; importing it is enough.

It registers `EffConvResNet` and `EffConvFPN`, for use in any configuration of PaddleDetection, corrects what keeps
PaddleDetection from training on this Paddle, inside its own modules, and adds the backbone's own losses to the total.
``python -m ppeffconv.integrations.ppdet train|eval|infer -c CONFIG`` runs its Trainer.
"""

from . import fixes

fixes.apply()

from .backbone import EffConvResNet  # noqa: E402 - the corrections come first
from .losses import join_auxiliary_losses  # noqa: E402
from .neck import EffConvFPN  # noqa: E402

join_auxiliary_losses()

__all__ = ["EffConvFPN", "EffConvResNet"]
