"""What VisualDL's own reader finds in the log."""

from __future__ import annotations

import errno
import io
import resource
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image
from visualdl import LogReader
from visualdl.proto.record_pb2 import Record

from ppeffconv.engine.callbacks import VisualDL, visualdl
from ppeffconv.engine.callbacks.visualdl import Hyperparameters
from ppeffconv.engine.callbacks.visualdl_log import _records, rewind
from ppeffconv.layers import OctConvBNAct, SampledBasicBlock


class OctNet(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.oct = OctConvBNAct(1, 4, 3, alpha_in=0, alpha_out=0.5, padding=1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.oct(x)[0].mean([2, 3])


class Optimizer:
    def get_lr(self) -> float:
        return 0.25


def callback(folder: Path, net: nn.Layer | None = None, images: paddle.Tensor | None = None) -> VisualDL:
    model = paddle.Model(net or nn.Linear(2, 2))
    model._optimizer = Optimizer()
    result = VisualDL(folder, log_interval=2, images=images)
    result.set_params({"epochs": 3, "steps": 4, "metrics": ["loss", "acc"]})
    result.set_model(model)
    return result


def run(vdl: VisualDL, epochs, start_step: int = 0) -> None:
    for epoch in epochs:
        vdl.on_epoch_begin(epoch)
        for step in range(start_step if epoch == epochs[0] else 0, 4):
            vdl.on_train_batch_begin(step, {})
            logs = {"loss": [10.0 * epoch + step], "acc": 0.5, "batch_size": 8, "temperature": 0.7}
            vdl.on_train_batch_end(step, logs)
        vdl.on_epoch_end(epoch, {"eval_loss": float(epoch), "eval_top1": 0.1, "eval_samples": 9, "loss": [1.0]})


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    (file,) = folder.glob("vdlrecords*")
    return [(point.id, point.value) for point in LogReader(file_path=str(file)).get_data("scalar", tag)]


def tags(folder: Path, kind: str) -> set[str]:
    (file,) = folder.glob("vdlrecords*")
    return set(LogReader(file_path=str(file)).get_tags().get(kind, []))


def test_hyperparameters_and_what_they_have_led_to(tmp_path):
    vdl = callback(tmp_path)
    vdl.hyperparameters = Hyperparameters({"Optimizer.lr": 0.1, "Arch.name": "x", "epochs": 3}, ["eval/top1"])
    run(vdl, [0])
    vdl.on_train_end()
    vdl = callback(tmp_path)  # resumed: once is enough
    vdl.hyperparameters = Hyperparameters({"Optimizer.lr": 0.2}, ["eval/top1"])
    run(vdl, [1])
    vdl.on_train_end()
    (file,) = tmp_path.glob("vdlrecords*")
    values = [value for record in _records(file.read_bytes()) for value in Record.FromString(record).values]
    (found,) = [value.hparam for value in values if value.HasField("hparam")]
    numbers = {info.name: info.int_value or info.string_value or info.float_value for info in found.hparamInfos}
    assert numbers == {"Optimizer.lr": pytest.approx(0.1), "Arch.name": "x", "epochs": 3}
    assert [info.name for info in found.metricInfos] == ["eval/top1"]
    assert len(scalars(tmp_path, "eval/top1")) == 2


def test_scalars_by_steps_done(tmp_path):
    vdl = callback(tmp_path)
    assert not list(tmp_path.iterdir())
    run(vdl, [0, 1])
    vdl.on_train_end()
    assert scalars(tmp_path, "train/loss") == [(2, 1.0), (4, 3.0), (6, 11.0), (8, 13.0)]
    assert scalars(tmp_path, "eval/loss") == [(4, 0.0), (8, 1.0)]
    assert scalars(tmp_path, "train/lr")[0] == (2, 0.25)
    names = {"train/loss", "train/acc", "train/lr", "train/ips", "train/temperature", "eval/loss", "eval/top1"}
    assert tags(tmp_path, "scalar") == names


def test_pictures(tmp_path):
    vdl = callback(tmp_path, OctNet(), paddle.rand([2, 1, 8, 8]))
    run(vdl, [0])
    vdl.on_train_end()
    assert tags(tmp_path, "image") == {"input/0", "input/1", "high/oct", "low/oct"}


def test_pictures_keep_their_scale(tmp_path):
    """A mask that keeps everything is bright all over, not stretched to nothing, and its few pixels are enlarged."""
    vdl = callback(
        tmp_path, nn.Sequential(SampledBasicBlock(1, 2, eval_mode="deterministic")), paddle.rand([1, 1, 8, 8])
    )
    vdl.on_epoch_begin(0)
    vdl._add_pictures(4)
    (file,) = tmp_path.glob("vdlrecords*")
    (point,) = LogReader(file_path=str(file)).get_data("image", "mask/0.conv1_gumbel")
    image = np.asarray(Image.open(io.BytesIO(point.image.encoded_image_string)).convert("RGB"))
    assert image.shape == (320, 320, 3)
    assert (image == [253, 231, 36]).all()  # the end of viridis


def test_resumed_run_continues_its_file_without_repeats(tmp_path):
    whole = callback(tmp_path / "whole")
    run(whole, [0, 1, 2])
    whole.on_train_end()
    killed = callback(tmp_path / "parts")
    run(killed, [0, 1])
    killed.release()
    (file,) = (tmp_path / "parts").glob("vdlrecords*")
    file.write_bytes(file.read_bytes() + b"\x20\0\0\0\0\0\0\0cut off")
    resumed = callback(tmp_path / "parts")  # from the checkpoint after step 2 of epoch 1
    run(resumed, [1, 2], start_step=2)
    resumed.on_train_end()
    for tag in ("train/loss", "eval/loss"):
        assert scalars(tmp_path / "parts", tag) == scalars(tmp_path / "whole", tag)


def test_rewind_without_a_log(tmp_path):
    assert rewind(tmp_path, 3) == ""


@pytest.mark.parametrize("when", ["open", "write"])
def test_full_disk_ends_the_curves_only(tmp_path, monkeypatch, caplog, when):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    vdl = callback(tmp_path)
    if when == "write":
        run(vdl, [0])
        monkeypatch.setattr(vdl._writer, "add_scalar", fail)
    else:
        monkeypatch.setattr(visualdl, "rewind", fail)
        vdl._start = 5
    run(vdl, [1, 2])
    vdl.on_train_end()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "No space left on device" in warnings[0]


def test_a_record_that_does_not_fit_is_taken_back(tmp_path, caplog):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    vdl = callback(tmp_path)
    run(vdl, [0])
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        run(vdl, [1, 2])
        vdl.on_train_end()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in caplog.text
    assert file.stat().st_size == size
    assert scalars(tmp_path, "train/loss") == [(2, 1.0), (4, 3.0)]


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(visualdl, "rank", lambda: 1)
    run(callback(tmp_path / "vdl"), [0])
    assert not (tmp_path / "vdl").exists()
