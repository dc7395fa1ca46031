"""Networks: `create_model`, `list_models`, `profile`, and the classes behind them."""

from .blocks import Variant
from .depth_baselines import BicubicUpsampling, GuidedFilterUpsampling
from .depth_upsampler import JointUpNet
from .factory import create_model, list_models
from .fpn import FPN
from .i3d import I3D
from .octave_resnet import OctaveResNet
from .pictures import pictures
from .profile import LayerProfile, Profile, count_parameters, expected_macs, profile
from .resnet import ResNet
from .segmentation import DilatedFPN
from .vgg import VGG16, OctaveVGG16
from .zoo import register_networks

register_networks()

__all__ = [
    "FPN",
    "I3D",
    "VGG16",
    "BicubicUpsampling",
    "DilatedFPN",
    "GuidedFilterUpsampling",
    "JointUpNet",
    "LayerProfile",
    "OctaveResNet",
    "OctaveVGG16",
    "Profile",
    "ResNet",
    "Variant",
    "count_parameters",
    "create_model",
    "expected_macs",
    "list_models",
    "pictures",
    "profile",
]
