"""Configurations of PaddleDetection: ours, and what a user writes."""

from __future__ import annotations

import re

import pytest
import yaml

from .conftest import ROOT

FOLDER = ROOT / "configs" / "detection"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "runs.yaml")


def load(path, *overrides):
    from ppeffconv.integrations.ppdet import config

    return config.load(path, overrides)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_ours_make_a_detector(path):
    from ppdet.core.workspace import create

    cfg = load(path, "EffConvResNet.pretrained=null")
    text = path.read_text()
    assert len(text.splitlines()) <= 25
    assert max(map(len, text.splitlines())) <= 120
    assert f"ppdet train -c configs/detection/{path.name}" in re.match(r"(#.*\n)+", text).group()
    assert path.name in (FOLDER / "README.md").read_text()
    detector = create(cfg["architecture"])
    strides = cfg["RPNHead"]["anchor_generator"]["strides"]
    assert [int(shape.stride) for shape in detector.neck.out_shape] == strides
    extractor = detector.bbox_head.roi_extractor
    assert extractor.sampling_ratio > 0 or not extractor.aligned


def test_every_fragment_is_used():
    used = {(FOLDER / base).resolve() for path in FILES for base in yaml.safe_load(path.read_text())["_BASE_"]}
    assert used == {path.resolve() for path in (FOLDER / "_base_").glob("*.yaml")}


def test_the_queue_names_what_there_is():
    runs = yaml.safe_load((FOLDER / "runs.yaml").read_text())["runs"]
    for command in runs.values():
        assert (ROOT / re.search(r"-c (\S+)", command)[1]).is_file()
        assert re.search(r" -r\b", command)


def test_a_users_own_module_stays(tmp_path):
    from ppdet.core.workspace import global_config, register

    load(FILES[0])

    @register
    class OwnNeck:
        def __init__(self, width=3):
            self.width = width

    assert load(FILES[0], "OwnNeck.width=4")["OwnNeck"]["width"] == 4
    assert global_config["OwnNeck"]["width"] == 4
    assert load(FILES[0])["OwnNeck"]["width"] == 3


def test_loading_again_forgets_the_last_one(tmp_path):
    assert load(FILES[0], "num_classes=7")["num_classes"] == 7
    (tmp_path / "a.yml").write_text("architecture: FasterRCNN\n")
    cfg = load(tmp_path / "a.yml")
    assert "num_classes" not in cfg
    assert "roi_extractor" not in dict(cfg["BBoxHead"])


def test_a_saved_configuration_is_the_same(tmp_path):
    from ppeffconv.integrations.ppdet import config

    cfg = load(FILES[0], "EffConvResNet.name=sp_resnet18", "LearningRate.base_lr=1e-3")
    assert cfg["LearningRate"]["base_lr"] == 0.001
    path = tmp_path / FILES[0].name
    config.save(cfg, path)
    before = {key: dict(value) if isinstance(value, dict) else value for key, value in cfg.items()}
    again = load(path)
    assert {key: again[key] for key in before} == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=2", "unknown key 'epochs'. Did you mean 'epoch'"),
        ("EffConvResNet.nmae=resnet18", "has no argument 'nmae'. Did you mean 'name'"),
        ("epoch", "expected KEY=VALUE"),
        ("use_gpu=true", "the Paddle installed is for CPU"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(ValueError, match=message):
        load(FILES[0], override)


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("_BASE_: [none.yaml]\n")
    with pytest.raises(FileNotFoundError, match=r"a.yaml: a file in its _BASE_ does not exist: .*none.yaml"):
        load(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: [\n")
    with pytest.raises(ValueError, match=r"a.yaml"):
        load(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("epoch: 2\n")
    with pytest.raises(ValueError, match="no architecture"):
        load(tmp_path / "a.yaml")
