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

import sys
import warnings
from importlib.util import find_spec

from .utils import cores  # noqa: F401 - before Paddle, see there
from .utils.lazy import import_lazily

warnings.filterwarnings("ignore", message="No ccache found")  # Paddle says so at every import
if find_spec("paddle") is None and "ppeffconv.ops" not in sys.orig_argv:  # the doctor is there to say what is missing
    raise ImportError(
        "ppeffconv needs PaddlePaddle, which it does not install by itself so that you can choose the wheel: "
        "pip install paddlepaddle==3.3.1 for CPU, or paddlepaddle-gpu from https://www.paddlepaddle.org.cn/install/quick"
    )

__version__ = "0.1.0"
__all__ = import_lazily(
    __name__,
    {
        "Predictor": ".inference.predictor",
        "accelerate": ".accelerate",
        "convert": ".conversion",
        "create_model": ".models",
        "deploy": ".deployed",
        "export": ".inference.exporter",
        "layers": ".layers",
        "list_models": ".models",
        "load_reference": ".weights",
        "losses": ".engine.losses",
        "ops": ".ops",
        "profile": ".models",
    },
)
