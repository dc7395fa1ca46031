"""PaddleDetection's Trainer from the first step to a drawing, and what a kill leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image
from visualdl import LogReader

from ppeffconv.integrations.ppdet import checkpoints

from ..decay import check_decay

SAMPLED = ("EffConvResNet.name=sampled_resnet18", "EffConvResNet.auxiliary.sparse=0.1")


def train(cfg, **kwargs):
    from ppeffconv.integrations.ppdet import runner

    return runner.train(cfg, **kwargs)


def weights(folder, name="model_final"):
    return {key: value.numpy() for key, value in paddle.load(str(folder / f"{name}.pdparams")).items()}


def test_train_evaluate_infer(load, coco, tmp_path):
    from ppeffconv.integrations.ppdet import runner
    from ppeffconv.integrations.ppdet.callbacks import STATS, read

    folder = train(load(*SAMPLED))
    rows = read(folder / "history.jsonl")
    assert [row["epoch"] for row in rows] == [1, 1, 2, 2]
    assert all(np.isfinite(row["loss"]) for row in rows[::2])
    assert set(rows[1]) == {"epoch", *STATS, "density", "sampled_macs"}
    log = (folder / "train.log").read_text()
    assert "loss_sparse: " in log
    assert "density: " in log
    curves = LogReader(file_path=str(next((folder / "vdl").glob("*.log"))))
    assert len(curves.get_data("scalar", "loss_sparse")) == 4
    assert len(curves.get_data("scalar", "bbox-mAP")) == sum(row["AP"] > 0 for row in rows[1::2])

    scores = runner.evaluate(load(*SAMPLED))
    assert set(scores) == set(rows[-1]) - {"epoch"}
    Image.new("RGB", (50, 40)).save(tmp_path / "other.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    for suffix in ("gif", "tif", "webp"):
        Image.new("RGB", (50, 40)).save(tmp_path / f"图 像.{suffix}")
    (tmp_path / "below").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "below" / "other.jpg")
    drawn = runner.infer(load(*SAMPLED), str(tmp_path), threshold=0.0)
    for name, size in (("other.jpg", (50, 40)), ("below/other.jpg", (30, 20)), ("图 像.gif", (50, 40))):
        assert Image.open(drawn / name).size == size
    assert (drawn / "图 像.tif").is_file()
    assert not (drawn / "broken.jpg").exists()
    assert isinstance(json.loads((drawn / "bbox.json").read_text()), list)
    assert len(list((folder / "vdl").iterdir())) == len(list((drawn / "vdl").iterdir())) == 1


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(load, tmp_path):
    from ppeffconv.integrations.ppdet.callbacks import read

    whole = train(load(*SAMPLED, "epoch=3"))
    expected, rows = weights(whole), read(whole / "history.jsonl")
    # what a kill in the third epoch leaves: a row that is cut, a checkpoint that is not whole, points too many
    for name in ("model_final.pdparams", "model_final.pdopt"):
        (whole / name).unlink()
    (whole / "2.pdparams").write_bytes(b"half")
    (whole / "2.pdopt").write_bytes(b"half")
    with (whole / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "lo')
    assert checkpoints.newest(whole)[1] == 2
    train(load(*SAMPLED, "epoch=3"), resume="auto")
    assert read(whole / "history.jsonl") == rows
    got = weights(whole)
    assert got.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(got[key], expected[key], err_msg=key)
    (curves,) = (whole / "vdl").glob("*.log")
    points = LogReader(file_path=str(curves)).get_data("scalar", "loss")
    assert [point.id for point in points] == list(range(6))


def test_curves_begin_with_the_training(load):
    """VisualDL names files by the second: one of the trainer's own could be that of an attempt just before."""
    from ppeffconv.integrations.ppdet import runner

    cfg = load()
    runner.EffConvTrainer(cfg, "train")
    assert not Path(cfg["vdl_log_dir"]).exists()
    assert cfg["use_vdl"]


def test_epochs_differ_and_seeds_differ(load):
    from ppeffconv.integrations.ppdet import runner
    from ppeffconv.integrations.ppdet.reader import SeededEpochs

    def order(seed, start):
        trainer = runner.EffConvTrainer(load("TrainReader.batch_size=1"), "train")
        epochs = SeededEpochs(trainer.loader, seed, start)
        return [[int(batch["im_id"]) for batch in epochs] for _ in range(3)]

    first = order(0, 0)
    assert all(sorted(epoch) == [0, 1, 2, 3] for epoch in first)
    assert len({tuple(epoch) for epoch in first}) > 1
    assert order(0, 1)[:2] == first[1:]
    assert order(5, 0) != first


def test_a_run_is_not_overwritten(load):
    cfg = "epoch=1", "worker_num=0"
    train(load(*cfg), validate=False)
    with pytest.raises(ValueError, match=r"holds a run: continue it with --resume"):
        train(load(*cfg))


def test_a_run_killed_in_its_last_evaluation_is_evaluated(load):
    from ppeffconv.integrations.ppdet.callbacks import final_score

    folder = train(load("epoch=1"), validate=False)
    assert final_score(folder, 1) is None
    before = weights(folder)
    train(load("epoch=1"), resume="auto")
    assert final_score(folder, 1)["AP"] >= 0
    np.testing.assert_array_equal(weights(folder)["backbone.net.conv1.weight"], before["backbone.net.conv1.weight"])


def test_old_checkpoints_are_deleted_if_asked(load):
    folder = train(load("epoch=3", "keep_checkpoints=1"), validate=False)
    assert {path.stem for path in folder.glob("*.pdparams")} == {"1", "model_final"}


def test_a_full_disk_is_one_message_and_loses_no_checkpoint(load, full_disk):
    folder = train(load("epoch=1"))
    kept = {path.name: path.read_bytes() for path in folder.glob("*.pd*")}
    with full_disk(), pytest.raises(OSError, match=f"cannot save: File too large: '{folder}'"):
        train(load(), resume="auto")
    assert {path.name: path.read_bytes() for path in folder.glob("*.pd*")} == kept
    assert train(load(), resume="auto") == folder
    with pytest.raises(OSError, match="'/proc/run'"):  # where nothing can be made, as in a folder that is read-only
        train(load("save_dir=/proc/run"))


def test_the_best_weights_survive_a_resumed_run(load):
    from ppeffconv.integrations.ppdet import callbacks, runner

    folder = train(load("epoch=1"))
    history = folder / "history.jsonl"
    history.write_text('{"epoch": 1, "AP": 90.0}\n')
    trainer = runner.EffConvTrainer(load("epoch=2"), "train")
    trainer.resume_weights(str(folder / "model_final"))
    keeper = next(c for c in trainer._callbacks if isinstance(c, callbacks.Checkpointer))
    trainer.train()
    assert keeper.best_ap == pytest.approx(0.9)


def test_a_loss_that_is_not_finite_ends_the_run(load):
    with pytest.raises(RuntimeError, match=r"the loss is (nan|inf) in epoch \d+, step \d+"):
        train(load("LearningRate.base_lr=1e20", "OptimizerBuilder.clip_grad_by_norm=null", "epoch=4"))


def test_a_batch_larger_than_the_data_is_told_before_training(load, tmp_path):
    with pytest.raises(ValueError, match=r"TrainReader.batch_size 5 is more than the 4 training images"):
        train(load("TrainReader.batch_size=5"))
    assert not (tmp_path / "output").exists()


def test_json_has_a_form_for_every_number_that_is_written(tmp_path):
    from ppeffconv.integrations.ppdet import callbacks

    callbacks.append(tmp_path, {"epoch": 1, "loss": float("nan"), "AP": [float("inf"), 1.0]})
    assert (tmp_path / "history.jsonl").read_text() == '{"epoch": 1, "loss": null, "AP": [null, 1.0]}\n'


def test_a_copied_run_is_about_itself(load, coco, tmp_path):
    """Its weights, and what is written of it, lie beside its configuration; also in a folder of another name."""
    from ppeffconv.integrations.ppdet import config, runner, table

    (coco / "images" / "3.png").unlink()  # so that a repaired copy of the annotations is in use
    first = train(load("epoch=1"))
    copy = shutil.copytree(first, tmp_path / "elsewhere" / "mine")
    for file in first.glob("*.pdparams"):
        file.write_bytes(b"not to be read")
    before = sorted(first.rglob("*"))
    path = copy / f"{first.name}.yaml"
    assert runner.evaluate(config.load(path))["AP"] >= 0
    assert runner.infer(config.load(path), str(coco / "images" / "0.png")) == copy / "infer"
    assert (copy / "eval").is_dir()
    assert sorted(first.rglob("*")) == before
    train(config.load(path, ["epoch=2"]), resume="auto")
    assert sorted(first.rglob("*")) == before
    assert [row["config"] for row in table.collect(tmp_path / "elsewhere")] == ["mine"]
    other = config.load(path, [f"save_dir={tmp_path / 'new'}"])
    assert config.run_dir(other) == tmp_path / "new" / first.name


def test_a_picture_of_the_backbone(load, coco, tmp_path):
    from ppeffconv.integrations.ppdet.drawing import draw_features

    backbone = "EffConvResNet.name=sp_resnet18"
    train(load("epoch=1", backbone), validate=False)
    (coco / "images" / "0.png").write_bytes(b"no image")
    picture = draw_features(load(backbone), [coco / "images"])
    assert picture == tmp_path / "output" / "faster_rcnn_resnet18_scenes" / "pictures.png"
    one = Image.open(draw_features(load(backbone, "deploy=true"), [coco / "images" / "1.png"], tmp_path / "1.png")).size
    assert Image.open(picture).size == (one[0], 3 * one[1])


@pytest.mark.parametrize("kind", [{"type": "Momentum", "momentum": 0.9}, {"type": "AdamW", "weight_decay": 0.1}])
def test_masks_do_not_decay(load, kind):
    from ppeffconv.integrations.ppdet import runner

    masks = "EffConvResNet.name=learned_versatile_resnet18", "OptimizerBuilder.regularizer.factor=0.1"
    cfg = load(*masks)
    cfg["OptimizerBuilder"]["optimizer"] = kind
    trainer = runner.EffConvTrainer(cfg, "train")
    check_decay(trainer.model, trainer.optimizer)


def test_a_run_goes_on_as_it_began(load, coco, tmp_path):
    """Places may change, what shapes the course may not, nor what the data are."""
    folder = train(load("epoch=1"), validate=False)
    moved = Path(shutil.copytree(coco, tmp_path / "moved"))
    places = [f"{name}.dataset_dir={moved}" for name in ("TrainDataset", "EvalDataset", "TestDataset")]
    for change in ("TrainReader.batch_size=1", "seed=5", "LearningRate.base_lr=0.3", "EffConvFPN.upsample=bilinear"):
        key, _, value = change.partition("=")
        with pytest.raises(ValueError, match=rf"cannot resume .*{key}: the run .*, now '?{value}"):
            train(load("epoch=2", change), resume="auto")
    train(load("epoch=2", "log_iter=3", *places), resume="auto", validate=False)
    content = json.loads((moved / "boxes.json").read_text())
    content["categories"][0]["name"] = "renamed"
    (moved / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"trained on other data: classes: \['kind 2', .*, now \['renamed'"):
        train(load("epoch=3", *places), resume="auto")
    (coco / "images" / "0.png").unlink()
    with pytest.raises(ValueError, match="trained on other data: images: 4, now 3"):
        train(load("epoch=3"), resume="auto")
    assert folder.is_dir()


def test_weights_of_other_classes(load, coco):
    from ppeffconv.integrations.ppdet import runner

    folder = train(load("epoch=1"), validate=False)
    content = json.loads((coco / "boxes.json").read_text())
    content["categories"][0]["name"] = "renamed"
    (coco / "boxes.json").write_text(json.dumps(content))
    expected = "was trained on other classes, kind 2, kind 5, kind 9; those of the data are renamed, kind 5, kind 9"
    for use in (lambda cfg: runner.evaluate(cfg), lambda cfg: runner.infer(cfg, str(coco / "images"))):
        with pytest.raises(ValueError, match=expected):
            use(load())
    (folder / "data.json").unlink()  # of a run before there was such a file
    assert runner.evaluate(load())["AP"] >= 0


def test_random_weights_are_not_frozen(load):
    for option in ("freeze_at=0", "freeze_stem=true", "freeze_norm=true"):
        with pytest.raises(ValueError, match="would freeze layers with random weights"):
            train(load(f"EffConvResNet.{option}"))


def test_missing_weights_and_images(load, coco):
    from ppeffconv.integrations.ppdet import runner

    with pytest.raises(FileNotFoundError, match="no weights in"):
        runner.evaluate(load())
    with pytest.raises(FileNotFoundError, match=r"no weights at .*other.pdparams"):
        runner.evaluate(load(), weights=str(coco / "other"))
    with pytest.raises(FileNotFoundError, match="no image or folder"):
        runner.infer(load(), "nowhere")
    with pytest.raises(FileNotFoundError, match="which names the classes"):
        runner.infer(load("TestDataset.anno_path=null"), str(coco / "images"))
    (coco / "none").mkdir()
    (coco / "none" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of the images"):
        runner.infer(load(), str(coco / "none"))


def test_weights_of_another_detector(load):
    from ppeffconv.integrations.ppdet import runner

    folder = train(load("epoch=1"), validate=False)
    with pytest.raises(ValueError, match="does not fit the model"):
        runner.evaluate(load("EffConvResNet.name=sp_resnet18"), weights=str(folder / "model_final"))


def test_half_a_checkpoint_is_passed_over(tmp_path, load):
    folder = train(load("epoch=2"), validate=False)
    assert checkpoints.newest(folder) == (str(folder / "model_final"), 2)
    (folder / "model_final.pdopt").unlink()
    assert checkpoints.newest(folder) == (str(folder / "0"), 1)
    shutil.rmtree(folder)
    folder.mkdir()
    assert checkpoints.newest(folder) is None


def test_plain_convolutions_are_accelerated_unless_told_otherwise(load):
    from ppeffconv.accelerate import is_accelerated
    from ppeffconv.integrations.ppdet import runner

    for wanted in ("true", "false"):
        model = runner.EffConvTrainer(load(f"accelerate={wanted}"), "eval").model
        assert is_accelerated(model.rpn_head.rpn_feat.rpn_conv) == (wanted == "true")


@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "Momentum", "momentum": 0.9},
        {"type": "Momentum", "param_groups": [{"params": ["layer1"], "weight_decay": 0.5}]},
        {"type": "AdamW", "weight_decay": 0.5},
    ],
    ids=["Momentum", "groups", "AdamW"],
)
def test_weight_decay_spares_masks(load, optimizer):
    from ppeffconv.integrations.ppdet import runner

    cfg = load("EffConvResNet.name=learned_versatile_resnet18")
    cfg["OptimizerBuilder"]["optimizer"] = optimizer
    cfg["OptimizerBuilder"]["regularizer"] = {"type": "L2", "factor": 0.5}
    trainer = runner.EffConvTrainer(cfg, "train")
    before = {name: parameter.numpy() for name, parameter in trainer.model.named_parameters()}
    (sum(p.sum() for p in trainer.model.parameters() if not p.stop_gradient) * 0).backward()
    trainer.optimizer.step()
    moved = {n for n, p in trainer.model.named_parameters() if (p.numpy() != before[n]).any()}
    assert not [name for name in moved if name.endswith(".mask")]
    assert any(name.endswith("conv1.weight") for name in moved)
