"""ppeffconv: efficient convolutions for PaddlePaddle."""

from . import layers, ops
from .accelerate import accelerate
from .models import create_model, list_models, profile
from .weights import load_reference

__version__ = "0.1.0"
__all__ = ["accelerate", "create_model", "layers", "list_models", "load_reference", "ops", "profile"]
