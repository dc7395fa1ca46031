"""ppeffconv: efficient convolutions for PaddlePaddle.

The names here are those that most programs need. What is behind them:

- `ppeffconv.layers`: the methods as layers, and `ppeffconv.layers.build_conv`, the slot that takes any of them;
  `ppeffconv.ops`: their functional forms.
- `ppeffconv.models`: networks, feature pyramids, `ppeffconv.models.pictures`; `ppeffconv.weights`: published weights.
- `ppeffconv.conversion` and `ppeffconv.deployed`: what `convert` and `deploy` return.
- `ppeffconv.data`, `ppeffconv.config`, `ppeffconv.registry`; `ppeffconv.engine.trainer`, `ppeffconv.engine.evaluator`,
  `ppeffconv.engine.losses`, `ppeffconv.engine.callbacks`: training from YAML, and its parts.
- `ppeffconv.integrations.ppdet` and `ppeffconv.integrations.ppseg`: PaddleDetection and PaddleSeg.
"""

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
