"""Callbacks of training, each of use in any ``paddle.Model.fit`` as well."""

from .broken import BrokenSamples
from .checkpointing import Checkpoints
from .ema import EMA
from .evaluation import Evaluation
from .finite_loss import FiniteLoss
from .interrupt import GracefulStop, TrainingInterrupted, interrupts
from .progress import Progress
from .temperature import SamplingTemperature
from .timeline import Timeline
from .visualdl import VisualDL

__all__ = [
    "EMA",
    "BrokenSamples",
    "Checkpoints",
    "Evaluation",
    "FiniteLoss",
    "GracefulStop",
    "Progress",
    "SamplingTemperature",
    "Timeline",
    "TrainingInterrupted",
    "VisualDL",
    "interrupts",
]
