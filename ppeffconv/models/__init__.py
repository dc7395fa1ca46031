"""Networks: `create_model`, `list_models`, `profile`, and the classes behind them."""

from .factory import create_model, list_models
from .fpn import FPN
from .octave_resnet import OctaveResNet
from .pictures import pictures
from .profile import LayerProfile, Profile, count_parameters, profile
from .resnet import ResNet
from .segmentation import DilatedFPN
from .vgg import VGG16, OctaveVGG16

__all__ = [
    "FPN",
    "VGG16",
    "DilatedFPN",
    "LayerProfile",
    "OctaveResNet",
    "OctaveVGG16",
    "Profile",
    "ResNet",
    "count_parameters",
    "create_model",
    "list_models",
    "pictures",
    "profile",
]
