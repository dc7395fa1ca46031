"""ppeffconv: efficient convolutions for PaddlePaddle."""

import warnings

warnings.filterwarnings("ignore", message="No ccache found")  # Paddle says so at every import

from . import layers, ops
from .accelerate import accelerate
from .engine import losses
from .engine.exporter import export
from .engine.predictor import Predictor
from .models import create_model, list_models, profile
from .weights import load_reference

__version__ = "0.1.0"
__all__ = [
    "Predictor",
    "accelerate",
    "create_model",
    "export",
    "layers",
    "list_models",
    "load_reference",
    "losses",
    "ops",
    "profile",
]
