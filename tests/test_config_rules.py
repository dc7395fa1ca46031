"""What several settings say together."""

from __future__ import annotations

import pytest

from ppeffconv.config import load_config
from ppeffconv.config_rules import unused

from .test_config import MINIMAL


@pytest.fixture
def minimal(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(MINIMAL)
    return path


def test_a_rate_cannot_fall_upwards(minimal):
    with pytest.raises(
        ValueError, match=r"Optimizer\.schedule\.min_lr is 0\.2 and Optimizer\.lr 0\.1: .* not be the larger"
    ):
        load_config(minimal, ["Optimizer.lr=0.1", "Optimizer.schedule.min_lr=0.2"])
    load_config(minimal, ["Optimizer.lr=0.1", "Optimizer.schedule.min_lr=0.1"])


def test_nothing_is_unused_by_default(minimal):
    assert list(unused(load_config(minimal))) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["Optimizer.schedule.milestones=[1]"], "milestones=[1] has no effect: only Optimizer.schedule.name=Step"),
        (["Optimizer.schedule.gamma=0.5"], "gamma=0.5 has no effect"),
        (["Optimizer.schedule.name=Step"], "Step has no milestones"),
        (["Optimizer.schedule={name: Step, milestones: [2, 3, 9]}"], "step 3 is never reached in 3 epochs"),
        (["Optimizer.schedule={name: Step, milestones: [2, 3, 9]}"], "step 9 is never reached in 3 epochs"),
        (["Optimizer.schedule={name: Constant, min_lr: 0.01}"], "min_lr=0.01 has no effect"),
        (["Optimizer.name=AdamW", "Optimizer.momentum=0.8"], "momentum=0.8 has no effect"),
        (["Global.task=depth_upsampling", "Loss.label_smoothing=0.1"], "label_smoothing=0.1 has no effect"),
        (["Global.save_interval=4"], "save_interval=4 saves nothing in 3 epochs"),
    ],
)
def test_settings_without_effect(minimal, overrides, message):
    assert any(message in text for text in unused(load_config(minimal, overrides)))


def test_a_temperature_for_a_network_without_masks(minimal):
    cfg = load_config(minimal, ["Sampling.end_temperature=0.1"])
    assert list(unused(cfg)) == []
    assert list(unused(cfg, samples=False)) == ["Sampling.end_temperature=0.1 has no effect: resnet20 does not sample"]
