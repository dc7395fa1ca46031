"""A training as a whole: its folder, its failures, what it leaves behind."""

from __future__ import annotations

import errno
import math

import numpy as np
import paddle
import pytest
from PIL import Image

from ppeffconv.config import load_config
from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.callbacks import Evaluation
from ppeffconv.engine.callbacks.progress import Progress
from ppeffconv.engine.evaluator import evaluate
from ppeffconv.engine.finite import NonFiniteLossError
from ppeffconv.engine.trained import evaluate_run
from ppeffconv.engine.trainer import Trainer


def test_run_folder(make_cfg, tiny_net):
    cfg = make_cfg("Global.epochs=2", "Global.save_interval=2", "Global.use_visualdl=true", EMA={"decay": 0.9})
    result = Trainer(cfg).train()
    run = result.run_dir
    names = {".lock", "best", "config.yaml", "epoch_2", "latest", "samples", "train.log", "vdl"}
    assert {path.name for path in run.iterdir()} == names
    assert {path.name for path in (run / "latest").iterdir()} == {ck.PARAMS, ck.OPTIMIZER, ck.EMA, ck.STATES}
    saved = load_config(run / "config.yaml")
    assert dict(saved) == dict(cfg)
    log = (run / "train.log").read_text()
    assert "epochs: 2  # overridden" in log
    assert "epoch 2/2 step 6/6" in log
    assert "evaluation after epoch 2 (averaged weights)" in log
    states = ck.load_checkpoint(run / "latest")[ck.STATES]
    assert states["data"] == {"class_names": ["dark", "grey", "light"], "image_mode": "L", "input_shape": [1, 8, 8]}


@pytest.mark.parametrize("decay", [None, 0.99])
def test_best_score_is_that_of_the_saved_weights(make_cfg, tiny_net, decay):
    result = Trainer(make_cfg(EMA={"decay": decay})).train()
    again = evaluate_run(load_config(result.run_dir / "config.yaml"))
    assert again["top1"] == result.best.score
    line = f"loss {again['loss']:.4f} | top1 {again['top1']:.4f} | samples 9"
    logged = [text for text in (result.run_dir / "train.log").read_text().splitlines() if "evaluation after" in text]
    assert f"after epoch {result.best.epoch}" in logged[result.best.epoch - 1]
    assert logged[result.best.epoch - 1].endswith(line)


def test_samples_are_the_evaluation_images(make_cfg, tiny_net):
    trainer = Trainer(make_cfg("Global.epochs=1"))
    run = trainer.train().run_dir
    files = sorted((run / "samples").iterdir())
    assert files[0].name == "0_dark.png"
    assert len(files) == 8
    raw, _ = trainer.eval_loader.dataset.dataset[0]
    np.testing.assert_array_equal(np.asarray(Image.open(files[0])), np.asarray(raw))


def test_full_disk_in_mid_training(make_cfg, tiny_net, monkeypatch):
    fail_saves(monkeypatch, {2})
    result = Trainer(make_cfg("Global.epochs=3")).train()
    errors = [line for line in (result.run_dir / "train.log").read_text().splitlines() if "ERROR" in line]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert ck.load_checkpoint(result.run_dir / "latest")[ck.STATES]["epoch"] == 3


def test_full_disk_at_the_end(make_cfg, tiny_net, monkeypatch):
    fail_saves(monkeypatch, {3})
    cfg = make_cfg("Global.epochs=3")
    with pytest.raises(RuntimeError, match="last checkpoint could not be saved.*No space left"):
        Trainer(cfg).train()
    run = cfg.path.parent / "output" / "tiny"
    assert ck.load_checkpoint(run / "latest")[ck.STATES]["epoch"] == 2
    monkeypatch.undo()


def fail_saves(monkeypatch: pytest.MonkeyPatch, epochs: set[int]) -> None:
    """Let the disk be full after these epochs, and no score rise, so that there is one save per epoch."""
    save = ck.paddle.save

    def full(value, path):
        if "rng" in value and value["epoch"] in epochs:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(value, path)

    def no_score(self, epoch, logs=None):
        pass

    monkeypatch.setattr(ck.paddle, "save", full)
    monkeypatch.setattr(Evaluation, "on_epoch_end", no_score)


def test_failed_best_is_not_taken_for_saved(make_cfg, tiny_net, monkeypatch):
    """A best score whose checkpoint could not be written does not count: a later, lower one is still saved."""
    scores = iter([0.5, 0.9, 0.7])
    save = ck.paddle.save

    def full(value, path):
        if "rng" in value and value["epoch"] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(value, path)

    def scored(self, epoch, logs=None):
        logs["eval_top1"] = next(scores)

    monkeypatch.setattr(ck.paddle, "save", full)
    monkeypatch.setattr(Evaluation, "on_epoch_end", scored)
    result = Trainer(make_cfg("Global.epochs=3")).train()
    assert (result.best.score, result.best.epoch) == (0.7, 3)
    assert ck.load_checkpoint(result.run_dir / "best")[ck.STATES]["epoch"] == 3


def test_non_finite_loss_leaves_the_checkpoints(make_cfg, tiny_net, monkeypatch):
    original = Progress.on_train_batch_begin

    def spoil(self, step, logs=None):
        original(self, step, logs)
        if (self.epoch, step) == (1, 4):
            weight = self.model.network.fc.weight
            weight.set_value(paddle.full_like(weight, math.nan))

    monkeypatch.setattr(Progress, "on_train_batch_begin", spoil)
    cfg = make_cfg()
    with pytest.raises(NonFiniteLossError, match=r"epoch 2, step 5: .*layer 'fc' \(Linear\), whose parameter 'weight'"):
        Trainer(cfg).train()
    latest = ck.load_checkpoint(cfg.path.parent / "output" / "tiny" / "latest")
    assert latest[ck.STATES]["epoch"] == 1
    assert all(np.isfinite(value).all() for value in latest[ck.PARAMS].values())


def test_auxiliary_loss_counts(make_cfg, tiny_net):
    sizes = []
    for weights in ({}, {"sparse": 10.0}):
        trainer = Trainer(make_cfg("Global.epochs=1", Loss={"auxiliary": weights}))
        trainer.train()
        sizes.append(float(trainer.net.fc.weight.abs().sum()))
    assert sizes[1] < 0.5 * sizes[0]


def test_training_learns(make_cfg, tiny_net):
    trainer = Trainer(make_cfg("Global.epochs=12", "Optimizer.lr=0.2"))
    before = evaluate(trainer.net, trainer.eval_loader, topk=(1,))
    result = trainer.train()
    assert result.best.score > max(0.7, before["top1"])


def test_pretrained_model(make_cfg, tiny_net):
    first = Trainer(make_cfg("Global.epochs=1")).train()
    cfg = make_cfg("Global.epochs=1", "Optimizer.lr=1e-12", f"Global.pretrained_model={first.run_dir}")
    second = Trainer(cfg).train()
    one, two = (ck.load_checkpoint(r.run_dir / "latest")[ck.PARAMS]["conv.weight"] for r in (first, second))
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Arch.num_classes=4", "Arch.num_classes is 4, but the data has 3 classes"),
        (
            "Arch.in_channels=3",
            r"does not take the images .* 1 channels of 8x8.* image_mode: RGB if .* Set Arch.in_channels=1 if",
        ),
        ("Global.device=gpu:7", "Global.device is gpu:7, but"),
        ("Arch.name=resnet21", "unknown model 'resnet21'.*resnet20"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_run_is_made(make_cfg, override, message):
    cfg = make_cfg(override)
    with pytest.raises(ValueError, match=message):
        Trainer(cfg)
    assert not (cfg.path.parent / "output").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("Optimizer={name: Adam, nesterov: true}", "nesterov is for Momentum"),
        ("DataLoader.Train.transforms=[ToArray, {Normalize: {mean: 0.5, std: 0.25}}, {RandomCrop: {size: 99}}]", None),
    ],
)
def test_a_start_that_fails_leaves_no_folder(make_cfg, tiny_net, override, message):
    """Also one that only fails with its first batch; the next run gets the name."""
    cfg = make_cfg("Global.epochs=1", override)
    with pytest.raises((ValueError, TypeError), match=message):
        Trainer(cfg).train()
    assert not (cfg.path.parent / "output" / "tiny").exists()
    assert Trainer(make_cfg("Global.epochs=1")).train(resume="auto").run_dir.name == "tiny"


def test_a_run_that_fails_later_keeps_its_log(make_cfg, tiny_net, monkeypatch):
    def fail(self, step, logs=None):
        if step == 1:
            raise RuntimeError("out of something")

    monkeypatch.setattr(Progress, "on_train_batch_begin", fail)
    cfg = make_cfg("Global.epochs=1")
    with pytest.raises(RuntimeError, match="out of something"):
        Trainer(cfg).train()
    assert "1 process(es)" in (cfg.path.parent / "output" / "tiny" / "train.log").read_text()


def test_settings_without_effect_are_named(make_cfg, tiny_net):
    run = Trainer(make_cfg("Global.epochs=1", "Optimizer.schedule.milestones=[2]")).train().run_dir
    assert "WARNING: Optimizer.schedule.milestones=[2] has no effect" in (run / "train.log").read_text()


@pytest.mark.parametrize("topk", ["[3]", "[2, 1, 2]"])
def test_the_best_checkpoint_is_that_of_top1(make_cfg, tiny_net, topk):
    result = Trainer(make_cfg("Global.epochs=1", f"Metric.topk={topk}")).train()
    assert result.best is not None
    assert (result.run_dir / "best").is_dir()
    assert "top1 " in (result.run_dir / "train.log").read_text()


def test_grey_images_for_a_network_that_takes_them(make_cfg):
    data = [f"DataLoader.{split}.dataset.image_mode=RGB" for split in ("Train", "Eval")]
    with pytest.raises(ValueError, match="has Arch.in_channels=1: .* image_mode: L, which makes them grey"):
        Trainer(make_cfg(*data))
