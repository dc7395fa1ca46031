"""ppeffconv: efficient convolutions for PaddlePaddle."""

import importlib.util
import warnings

warnings.filterwarnings("ignore", message="No ccache found")  # Paddle says so at every import
if importlib.util.find_spec("paddle") is None:
    raise ImportError(
        "ppeffconv needs PaddlePaddle, which it does not install by itself so that you can choose the wheel: "
        "pip install paddlepaddle==3.3.1 for CPU, or paddlepaddle-gpu from https://www.paddlepaddle.org.cn/install/quick"
    )

from . import layers, ops
from .accelerate import accelerate
from .conversion import convert
from .deployed import deploy
from .engine import losses
from .engine.exporter import export
from .engine.predictor import Predictor
from .models import create_model, list_models, profile
from .weights import load_reference

__version__ = "0.1.0"
__all__ = [
    "Predictor",
    "accelerate",
    "convert",
    "create_model",
    "deploy",
    "export",
    "layers",
    "list_models",
    "load_reference",
    "losses",
    "ops",
    "profile",
]
