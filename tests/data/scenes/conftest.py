from __future__ import annotations

from pathlib import Path

import pytest

from ppeffconv.data.scenes import SceneSettings, make_scenes

from .garments import write_fashion_mnist

SETTINGS = SceneSettings(train=4, val=3, height=61, width=83, seed=3)


@pytest.fixture(scope="session")
def garment_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fashion_mnist(tmp_path_factory.mktemp("fashion-mnist"))


@pytest.fixture(scope="session")
def scenes(garment_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole folder of scenes of an odd size."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "scenes", SETTINGS, garment_root)
