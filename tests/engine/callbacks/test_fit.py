"""The callbacks in a user's own paddle.Model.fit."""

from __future__ import annotations

import math
import os
import signal

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.callbacks import Callback
from paddle.io import DataLoader, TensorDataset

from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.callbacks import (
    EMA,
    Checkpoints,
    Evaluation,
    FiniteLoss,
    GracefulStop,
    Progress,
    SamplingTemperature,
    Timeline,
    TrainingInterrupted,
    VisualDL,
)
from ppeffconv.engine.finite import NonFiniteLossError
from ppeffconv.layers.gumbel import GumbelSampler


def batches(samples: int = 12, bad: int | None = None) -> DataLoader:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, samples)
    images = np.eye(3, dtype="float32")[labels] + 0.1 * rng.standard_normal((samples, 3)).astype("float32")
    if bad is not None:
        images[bad] = np.nan
    return DataLoader(TensorDataset([paddle.to_tensor(images), paddle.to_tensor(labels)]), batch_size=4)


def fit(callbacks, epochs=3, net=None, loader=None, loss=None):
    net = net or nn.Linear(3, 3)
    model = paddle.Model(net)
    optimizer = paddle.optimizer.SGD(0.5, parameters=net.parameters())
    model.prepare(optimizer, loss or nn.CrossEntropyLoss(), paddle.metric.Accuracy())
    model.fit(loader or batches(), epochs=epochs, verbose=0, callbacks=callbacks)
    return model


def test_all_together(tmp_path, caplog):
    caplog.set_level("INFO", logger="ppeffconv")
    ema = EMA(0.5)
    checkpoints = Checkpoints(tmp_path / "run", save_interval=2, ema=ema)
    parts = [FiniteLoss(), SamplingTemperature(), ema, Progress(2), Evaluation(batches(), ema=ema)]
    fit([*parts, VisualDL(tmp_path / "vdl"), checkpoints, GracefulStop(checkpoints)], epochs=4)
    folders = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert folders == ["best", "epoch_2", "epoch_4", "latest"]
    assert list((tmp_path / "vdl").glob("vdlrecords*"))
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("epoch 2/4 step 3/3 | loss ") and "eta 0:00:" in line for line in lines)
    assert sum(line.startswith("evaluation after epoch") for line in lines) == 4
    assert 0 <= checkpoints.best.score <= 1


def test_best_keeps_the_best(tmp_path):
    class Scores(Evaluation):
        def on_epoch_end(self, epoch, logs=None):
            logs["eval_top1"] = [0.5, 0.9, 0.7, 0.9, 0.2][epoch]

    checkpoints = Checkpoints(tmp_path)
    fit([Scores(batches()), checkpoints], epochs=5)
    assert (checkpoints.best.score, checkpoints.best.epoch) == (0.9, 2)
    assert ck.load_checkpoint(tmp_path / "best")[ck.STATES]["epoch"] == 2
    latest = ck.load_checkpoint(tmp_path / "latest")[ck.STATES]
    assert (latest["epoch"], latest["best"]) == (5, {"score": 0.9, "epoch": 2})


def test_evaluation_interval_and_end():
    seen = []

    class Spy(Evaluation):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            if "eval_top1" in logs:
                seen.append(epoch)

    fit([Spy(batches(), interval=3)], epochs=7)
    assert seen == [2, 5, 6]


def test_non_finite_loss_stops_before_the_update():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    seen = []

    class Watch(Progress):
        def on_train_batch_begin(self, step, logs=None):
            super().on_train_batch_begin(step, logs)
            seen.append(net[0].weight.numpy().copy())

    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step 2: the batch of images itself is not finite"):
        fit([FiniteLoss(), Watch()], net=net, loader=batches(bad=5))
    assert len(seen) == 2
    np.testing.assert_array_equal(net[0].weight.numpy(), seen[1])


def test_non_finite_loss_names_the_layer_and_gives_the_loss_back():
    class Overflow(nn.Layer):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * (math.inf if self.calls > 4 else 1.0)

    loss = nn.CrossEntropyLoss()
    net = nn.Sequential(nn.Linear(3, 3), Overflow())
    finite = FiniteLoss()
    with pytest.raises(NonFiniteLossError, match=r"epoch 2, step 2: .* layer '1' \(Overflow\)"):
        fit([finite], net=net, loss=loss)
    assert finite.model._loss is loss
    assert not net._forward_pre_hooks


def test_second_signal_ends_the_process_and_the_end_of_training_restores_the_handlers():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    class Interrupt(Progress):
        def on_train_batch_begin(self, step, logs=None):
            super().on_train_batch_begin(step, logs)
            os.kill(os.getpid(), signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL

    with pytest.raises(TrainingInterrupted) as stop:
        fit([Interrupt(), GracefulStop()])
    assert stop.value.signum == signal.SIGINT
    fit([GracefulStop()], epochs=1)
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == [before[0], before[1] or signal.SIG_DFL]


@pytest.mark.parametrize("when", ["on_train_batch_begin", "on_epoch_end"])
def test_a_signal_at_any_time_tells_what_is_saved(tmp_path, caplog, when):
    caplog.set_level("INFO", logger="ppeffconv")
    interrupt = Callback()
    setattr(interrupt, when, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(TrainingInterrupted):
        fit([interrupt, checkpoints, GracefulStop(checkpoints)])
    states = ck.load_checkpoint(tmp_path / "latest")[ck.STATES]
    assert (states["epoch"], states["step"]) == ((1, 0) if when == "on_epoch_end" else (0, 1))
    assert f"saved after epoch {states['epoch']}, step {states['step']}; --resume auto" in caplog.text


def test_temperature_follows_its_formula():
    net = nn.Sequential(nn.Linear(3, 3))
    net.add_sublayer("sampler", GumbelSampler())
    net.forward = net[0].forward
    temperatures = []

    class Watch(Progress):
        def on_train_batch_end(self, step, logs=None):
            temperatures.append((float(net.sampler.cur_T), logs["temperature"]))

    fit([SamplingTemperature(2.0, 0.1), Watch()], epochs=4, net=net)
    expected = [2.0 * 0.05 ** (step / 12) for step in range(12)]
    np.testing.assert_allclose([value for value, _ in temperatures], expected, rtol=1e-6)
    np.testing.assert_allclose([value for _, value in temperatures], expected, rtol=1e-12)


def test_temperature_leaves_other_networks_alone():
    logs = {}
    callback = SamplingTemperature()
    callback.set_params({"epochs": 1, "steps": 2})
    callback.set_model(paddle.Model(nn.Linear(1, 1)))
    callback.on_train_batch_begin(0, logs)
    assert logs == {}
    with pytest.raises(ValueError, match="temperatures must be > 0"):
        SamplingTemperature(0.0, 1.0)


def test_timeline_shifts_epochs_and_steps():
    seen = []

    class Sampler:
        def set_epoch(self, epoch, start_step):
            seen.append(("epoch", epoch, start_step))

    class Watch(Progress):
        def on_train_batch_begin(self, step, logs=None):
            super().on_train_batch_begin(step, logs)
            seen.append((self.global_step(step), self.total_steps))

        def on_epoch_end(self, epoch, logs=None):
            logs["eval_left"] = 1
            seen.append(("end", epoch, set(logs)))

    timeline = Timeline([Watch()], Sampler(), steps=5, start_epoch=2, start_step=2)
    model = fit([timeline], epochs=2)
    fields = {"loss", "acc", "step", "batch_size", "eval_left"}
    assert seen == [
        ("epoch", 2, 2),
        *[(step, 20) for step in (12, 13, 14)],
        ("end", 2, fields),
        ("epoch", 3, 0),
        *[(step, 20) for step in (15, 16, 17)],
        ("end", 3, fields),
    ]
    assert model.network is not None
