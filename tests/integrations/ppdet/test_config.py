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
def test_ours_make_a_detector(path, caplog):
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
    assert "nothing here reads" not in caplog.text


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
    config.write(config.dump(cfg), path)
    before = {key: dict(value) if isinstance(value, dict) else value for key, value in cfg.items()}
    again = load(path)
    assert {key: again[key] for key in before} == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=2", "unknown key 'epochs'. Did you mean 'epoch'"),
        ("EffConvResNet.nmae=resnet18", "has no argument 'nmae'. Did you mean 'name'"),
        ("epoch", "expected KEY=VALUE"),
        ("epoch=0", r"-o epoch=0: epoch must be > 0, got 0 \(int\)"),
        ("epoch=1.5", "epoch must be a whole number"),
        ("epoch='2'", "epoch must be a whole number"),
        ("epoch=null", r"epoch must be a whole number .*, got nothing \(null\)"),
        ("num_classes='10'", r"num_classes must be a whole number .*, got '10' \(str\)"),
        ("seed=99999999999999999999", "seed must be a whole number below 2"),
        ("seed=-1", "seed must be >= 0"),
        ("snapshot_epoch=0", "snapshot_epoch must be > 0"),
        ("log_iter=0", "log_iter must be > 0"),
        ("worker_num=two", "worker_num must be a whole number"),
        ("keep_checkpoints=-1", "keep_checkpoints must be > 0"),
        ("save_dir=5", "save_dir must be a text, got 5"),
        ("save_dir=null", "save_dir must be a text"),
        ("accelerate=maybe", "accelerate must be true or false"),
        ("TrainReader.batch_size=0", r"TrainReader.batch_size must be > 0, got 0"),
        ("TrainReader.batch_size=2.5", "TrainReader.batch_size must be a whole number"),
        ("EvalReader.batch_size=null", "EvalReader.batch_size must be a whole number"),
        ("TrainReader.shuffle=1", "TrainReader.shuffle must be true or false, got 1"),
        ("LearningRate.base_lr=fast", "LearningRate.base_lr must be a number, got 'fast'"),
        ("LearningRate.base_lr=.nan", "LearningRate.base_lr must be a number"),
        ("OptimizerBuilder.clip_grad_by_norm=-1", "clip_grad_by_norm must be > 0"),
        ("EffConvResNet=5", "EffConvResNet must be a mapping of its arguments, got 5"),
        ("EffConvResNet.kwargs=7", "EffConvResNet.kwargs must be a mapping"),
        ("EffConvFPN.out_channel=-3", "EffConvFPN.out_channel must be > 0"),
        ("BBoxAssigner.fg_fraction=half", r"BBoxAssigner.fg_fraction must be a number such as 0.25, got 'half'"),
        ("TrainDataset.name=Foo", "TrainDataset.name must be a data set of PaddleDetection, got 'Foo'"),
        ("TrainDataset.anno_paht=x", "TrainDataset has no argument 'anno_paht'. Did you mean 'anno_path'"),
        ("use_gpu=true", "the Paddle installed is for CPU"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(ValueError, match=message):
        load(FILES[0], override)


def test_numbers_are_read_as_they_are_written(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"_BASE_: [{FILES[0]}]\nLearningRate: {{base_lr: 1e-3}}\nepoch: 010\n", encoding="utf-8-sig")
    cfg = load(path)
    assert (cfg["LearningRate"]["base_lr"], cfg["epoch"]) == (0.001, 10)
    path.write_text(f"_BASE_: [{FILES[0]}]\nnum_classes: '10'\n")
    with pytest.raises(ValueError, match=r"a.yaml: num_classes must be a whole number .*, got '10'"):
        load(path)


def test_a_key_of_a_file_that_nothing_reads(tmp_path, caplog):
    path = tmp_path / "a.yaml"
    path.write_text(f"_BASE_: [{FILES[0]}]\nepochs: 3\n")
    with pytest.raises(ValueError, match=r"a.yaml: unknown key 'epochs'. Did you mean 'epoch'"):
        load(path)
    path.write_text(f"_BASE_: [{FILES[0]}]\nx-remarks: none\n")
    load(path)
    assert "nothing here reads the key 'x-remarks'" in caplog.text


def test_the_tags_of_paddledetection_are_read_and_no_others(tmp_path):
    from ppdet.data.source.coco import COCODataSet

    path = tmp_path / "a.yaml"
    path.write_text(f"_BASE_: [{FILES[0]}]\nTrainDataset: !COCODataSet {{dataset_dir: x, anno_path: y.json}}\n")
    assert isinstance(load(path)["TrainDataset"], COCODataSet)
    path.write_text(f"_BASE_: [{FILES[0]}]\nepoch: !!python/object/apply:os.getpid []\n")
    with pytest.raises(ValueError, match="not valid YAML: could not determine a constructor"):
        load(path)


def test_scenes_beside_the_other_data_sets_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_DATA", str(tmp_path))
    assert load(FILES[0])["TrainDataset"]["dataset_dir"].startswith("dataset/")
    (tmp_path / "scenes").mkdir()
    cfg = load(FOLDER / "faster_rcnn_resnet18_scenes.yaml", "save_dir=~/runs")
    assert cfg["TrainDataset"]["dataset_dir"] == str(tmp_path / "scenes")
    assert "~" not in cfg["save_dir"]


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("_BASE_: [none.yaml]\n")
    with pytest.raises(FileNotFoundError, match=r"none.yaml \(.*a.yaml names it in _BASE_\)"):
        load(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("_BASE_: [a.yaml]\n")
    with pytest.raises(ValueError, match="leads back to itself"):
        load(tmp_path / "a.yaml")
    for text in ("", "- a", "5"):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ValueError, match=r"a.yaml: the file must be a mapping"):
            load(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: [\n")
    with pytest.raises(ValueError, match=r"a.yaml"):
        load(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("epoch: 2\n")
    with pytest.raises(ValueError, match="no architecture"):
        load(tmp_path / "a.yaml")
