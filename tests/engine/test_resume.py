"""A resumed run equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppeffconv.config import load_config
from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.callbacks import EMA, Progress, TrainingInterrupted
from ppeffconv.engine.optim import learning_rate
from ppeffconv.engine.trainer import Trainer

EMA_BLOCK = {"EMA": {"decay": 0.9}}
ADAM = {"Optimizer": {"name": "AdamW", "lr": 0.01, "decay_norm_and_bias": False}}


def flatten(value, prefix=""):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flatten(item, f"{prefix}{key}/")
    else:
        yield prefix, value


def assert_same_checkpoint(one: Path, two: Path) -> None:
    first, second = (dict(flatten(ck.load_checkpoint(folder))) for folder in (one, two))
    assert first.keys() == second.keys()
    for key, value in first.items():
        if key.endswith("rng/paddle/"):
            assert pickle.dumps(value) == pickle.dumps(second[key]), key
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, second[key], err_msg=key)
        else:
            assert str(value) == str(second[key]), key


def interrupt_at(monkeypatch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    """Send SIGINT to this process during that step (from 0)."""
    original = Progress.on_train_batch_begin

    def hook(self, number, logs=None):
        original(self, number, logs)
        if (self.epoch, number) == (epoch, step):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "on_train_batch_begin", hook)


@pytest.mark.parametrize("blocks", [EMA_BLOCK, ADAM], ids=["momentum-ema", "adamw"])
@pytest.mark.parametrize("where", [(1, 3), (1, 5), (2, 0)], ids=["mid-epoch", "last-step", "first-step"])
def test_interrupted_and_resumed_equals_uninterrupted(make_cfg, tiny_net, monkeypatch, blocks, where):
    whole = Trainer(make_cfg("Global.name=whole", **blocks)).train()
    with monkeypatch.context() as patch:
        interrupt_at(patch, *where)
        with pytest.raises(TrainingInterrupted):
            Trainer(make_cfg("Global.name=parts", **blocks)).train()
    states = ck.load_checkpoint(whole.run_dir.parent / "parts" / "latest")[ck.STATES]
    assert (states["epoch"], states["step"]) == (where[0], where[1] + 1)
    paddle.seed(12345)
    [paddle.nn.Conv2D(1, 1, 1) for _ in range(3)]  # other names for the parameters that follow
    parts = Trainer(make_cfg("Global.name=parts", **blocks)).train(resume="auto")
    assert parts.run_dir.name == "parts"
    assert parts.best == whole.best
    for name in ("latest", "best"):
        assert_same_checkpoint(whole.run_dir / name, parts.run_dir / name)


def test_two_epochs_and_two_more_equal_four(make_cfg, tiny_net):
    constant = ["Optimizer.schedule.name=Step", "Optimizer.schedule.milestones=[1, 3]"]
    four = Trainer(make_cfg("Global.name=four", *constant, **EMA_BLOCK)).train()
    Trainer(make_cfg("Global.name=two", "Global.epochs=2", *constant, **EMA_BLOCK)).train()
    two = Trainer(make_cfg("Global.name=two", *constant, **EMA_BLOCK)).train(resume="auto")
    assert_same_checkpoint(four.run_dir / "latest", two.run_dir / "latest")


def test_comparison_can_fail(make_cfg, tiny_net):
    one, two = (Trainer(make_cfg("Global.epochs=1", f"Global.seed={seed}")).train().run_dir for seed in (1, 2))
    with pytest.raises(AssertionError):
        assert_same_checkpoint(one / "latest", two / "latest")


def test_same_seed_same_run(make_cfg, tiny_net):
    one, two = (Trainer(make_cfg("Global.epochs=2")).train().run_dir for _ in range(2))
    assert (one.name, two.name) == ("tiny", "tiny-2")
    assert_same_checkpoint(one / "latest", two / "latest")


def test_finished_run_has_nothing_left(make_cfg, tiny_net, caplog):
    first = Trainer(make_cfg("Global.epochs=1")).train()
    before = (first.run_dir / "latest" / ck.PARAMS).stat().st_mtime_ns
    again = Trainer(make_cfg("Global.epochs=1")).train(resume="auto")
    assert again == first
    assert (first.run_dir / "latest" / ck.PARAMS).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("Optimizer.lr=0.02", "Optimizer.lr: checkpoint 0.05, now 0.02"),
        ("Loss.label_smoothing=0.1", "Loss.label_smoothing"),
        ("DataLoader.Train.batch_size=8", "DataLoader.Train.batch_size"),
        ("EMA.decay=0.5", "EMA.decay"),
        ("Global.seed=1", "Global.seed"),
        ("Global.epochs=3", "Global.epochs"),  # Cosine is stretched over the epochs
    ],
)
def test_resume_refuses_another_configuration(make_cfg, tiny_net, override, key):
    Trainer(make_cfg("Global.epochs=1")).train()
    overrides = [override] if override.startswith("Global.epochs") else ["Global.epochs=1", override]
    with pytest.raises(ValueError, match="cannot resume") as error:
        Trainer(make_cfg(*overrides)).train(resume="auto")
    assert key in str(error.value)


def test_workers_and_logging_may_differ_on_resume(make_cfg, tiny_net):
    first = Trainer(make_cfg("Global.epochs=1")).train()
    cfg = make_cfg("Global.epochs=1", "DataLoader.Train.num_workers=1", "Global.log_interval=1")
    assert Trainer(cfg).train(resume="auto") == first


def test_the_same_data_in_another_place(make_cfg, tiny_net, image_root, tmp_path):
    first = Trainer(make_cfg("Global.epochs=1")).train()
    shutil.copytree(image_root, tmp_path / "moved")
    moved = [f"DataLoader.{split}.dataset.root={tmp_path / 'moved' / split.lower()}" for split in ("Train", "Eval")]
    others = ["DataLoader.Eval.batch_size=2", "AMP.init_loss_scaling=1", "Metric.topk=[1, 2]", "Global.save_interval=1"]
    assert Trainer(make_cfg("Global.epochs=1", *moved, *others)).train(resume="auto") == first
    (tmp_path / "moved" / "train" / "dark" / "6.png").unlink()
    with pytest.raises(ValueError, match=r"Train data, images: checkpoint 21, now 20"):
        Trainer(make_cfg("Global.epochs=1", *moved)).train(resume="auto")
    (tmp_path / "moved" / "train" / "dark").rename(tmp_path / "moved" / "train" / "black")
    (tmp_path / "moved" / "eval" / "dark").rename(tmp_path / "moved" / "eval" / "black")
    with pytest.raises(ValueError, match=r"Eval data, classes: checkpoint \['dark', .*now \['black'"):
        Trainer(make_cfg("Global.epochs=1", *moved)).train(resume="auto")


def test_an_extended_run(make_cfg, tiny_net):
    """It has the rates of the longer schedule from there on, and can be interrupted and resumed like any other."""
    first = Trainer(make_cfg("Global.epochs=2")).train()
    with pytest.raises(ValueError, match="a longer run is --extend EPOCHS"):
        Trainer(make_cfg("Global.epochs=4")).train(resume="auto")
    rates = []
    with pytest.MonkeyPatch.context() as patch:
        original = Progress.on_train_batch_begin

        def note(self, step, logs=None):
            original(self, step, logs)
            rates.append(self._lr)

        patch.setattr(Progress, "on_train_batch_begin", note)
        trainer = Trainer(make_cfg("Global.epochs=4"))
        second = trainer.train(extend=True)
    expected = [learning_rate(trainer.cfg["Optimizer"], step, 6, 4) for step in range(12, 24)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert second.run_dir == first.run_dir
    log = (first.run_dir / "train.log").read_text()
    assert "The run is lengthened from 2 to 4 epochs; its learning rate is 0.025 in place of 0 now" in log
    assert ck.load_checkpoint(first.run_dir / "latest")[ck.STATES]["epoch"] == 4
    assert Trainer(make_cfg("Global.epochs=4")).train(resume="auto").run_dir == first.run_dir
    assert load_config(first.run_dir / "config.yaml")["Global"]["epochs"] == 4


def test_an_extended_run_that_is_interrupted_equals_one_that_is_not(make_cfg, tiny_net, monkeypatch):
    for name in ("whole", "parts"):
        Trainer(make_cfg(f"Global.name={name}", "Global.epochs=1")).train()
    whole = Trainer(make_cfg("Global.name=whole", "Global.epochs=3")).train(extend=True)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1, 2)
        with pytest.raises(TrainingInterrupted):
            Trainer(make_cfg("Global.name=parts", "Global.epochs=3")).train(extend=True)
    parts = Trainer(make_cfg("Global.name=parts", "Global.epochs=3")).train(extend=True)
    assert_same_checkpoint(whole.run_dir / "latest", parts.run_dir / "latest")


def test_nothing_to_extend(make_cfg, tiny_net):
    with pytest.raises(FileNotFoundError, match="there is no run 'tiny' in .* to extend"):
        Trainer(make_cfg()).train(extend=True)


def test_a_copied_run_goes_on_where_it_lies(make_cfg, tiny_net, tmp_path):
    constant = "Optimizer.schedule.name=Constant"
    first = Trainer(make_cfg("Global.epochs=1", constant)).train()
    copy = tmp_path / "copy"
    shutil.copytree(first.run_dir, copy)
    before = {path.name for path in first.run_dir.parent.iterdir()}
    second = Trainer(load_config(copy / "config.yaml", ["Global.epochs=2"])).train(resume="auto")
    assert second.run_dir == copy
    assert ck.load_checkpoint(copy / "latest")[ck.STATES]["epoch"] == 2
    assert ck.load_checkpoint(first.run_dir / "latest")[ck.STATES]["epoch"] == 1
    assert {path.name for path in first.run_dir.parent.iterdir()} == before


def test_auto_takes_the_newest_run_and_starts_afresh_without_one(make_cfg, tiny_net):
    first = Trainer(make_cfg("Global.epochs=1")).train(resume="auto")
    assert first.run_dir.name == "tiny"
    second = Trainer(make_cfg("Global.epochs=1")).train()
    assert second.run_dir.name == "tiny-2"
    assert Trainer(make_cfg("Global.epochs=1")).train(resume="auto").run_dir == second.run_dir
    assert Trainer(make_cfg("Global.epochs=1")).train(resume=first.run_dir).run_dir == first.run_dir
    assert Trainer(make_cfg("Global.epochs=1")).train(resume=first.run_dir / "best").run_dir == first.run_dir


def test_resume_from_nowhere_is_an_error(make_cfg, tiny_net, tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot resume"):
        Trainer(make_cfg()).train(resume=tmp_path / "none")


def test_resume_from_a_damaged_checkpoint_names_the_file(make_cfg, tiny_net):
    run = Trainer(make_cfg("Global.epochs=1")).train().run_dir
    (run / "latest" / ck.PARAMS).write_bytes(b"not weights")
    with pytest.raises(RuntimeError, match=r"latest/model\.pdparams"):
        Trainer(make_cfg("Global.epochs=1")).train(resume="auto")


def test_ema_restores_its_count(make_cfg, tiny_net):
    run = Trainer(make_cfg("Global.epochs=2", **EMA_BLOCK)).train().run_dir
    states = ck.load_checkpoint(run / "latest")[ck.STATES]
    assert states["ema_updates"] == 2 * 6
    assert EMA(0.9).updates == 0
