"""Scenes composed of real Fashion-MNIST garments: boxes, masks, semantic labels and depth that are known exactly."""

from __future__ import annotations

from .compose import Scene, compose_scene
from .settings import SceneSettings
from .writer import make_scenes

__all__ = ["Scene", "SceneSettings", "compose_scene", "make_scenes"]
