"""Mixed precision by its switch: a warning on a CPU; on a GPU, whose name is injected, Paddle's scaler throughout."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from ppeffconv.engine import build, trainer
from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.amp import amp_configs
from ppeffconv.engine.callbacks import TrainingInterrupted
from ppeffconv.engine.losses import build_loss
from ppeffconv.engine.trainer import Trainer
from ppeffconv.utils.device import device_name, is_gpu, use_device

from .test_resume import assert_same_checkpoint, interrupt_at

AMP = {"AMP": {"enable": True, "init_loss_scaling": 4096.0}}
pytestmark = pytest.mark.filterwarnings("ignore:amp_guard can only be enabled on CUDAPlace")


@pytest.fixture
def gpu(monkeypatch):
    """Let the trainer believe that it computes on a GPU, and Paddle's scaler that it may scale."""
    place = SimpleNamespace(is_gpu_place=lambda: True)
    monkeypatch.setattr(paddle.amp.grad_scaler, "_dygraph_tracer", lambda: SimpleNamespace(_expected_place=place))
    monkeypatch.setattr(trainer, "set_device", lambda device: "gpu:0")


def test_on_a_cpu_the_switch_warns_and_trains(make_cfg, tiny_net):
    result = Trainer(make_cfg("Global.epochs=1", "AMP.enable=true")).train()
    log = (result.run_dir / "train.log").read_text()
    assert "WARNING" in log
    assert "AMP.enable has no effect on cpu: Paddle trains in float32 there" in log
    assert ck.load_checkpoint(result.run_dir / "latest")[ck.STATES]["scaler"] is None


def test_the_scale_is_trained_with_and_saved(make_cfg, tiny_net, gpu):
    plain = Trainer(make_cfg("Global.name=plain", "Global.epochs=1")).train()
    result = Trainer(make_cfg("Global.epochs=1", **AMP)).train()
    contents = ck.load_checkpoint(result.run_dir / "latest")
    assert float(contents[ck.STATES]["scaler"]["scale"]) == 4096
    assert contents[ck.STATES]["scaler"]["incr_count"] == 6
    # a scale that is a power of two changes no digit of a gradient
    weights = ck.load_checkpoint(plain.run_dir / "latest")[ck.PARAMS]
    assert all(np.array_equal(value, contents[ck.PARAMS][name]) for name, value in weights.items())


def test_a_resumed_run_goes_on_with_its_scale(make_cfg, tiny_net, gpu, monkeypatch):
    whole = Trainer(make_cfg("Global.name=whole", "Global.epochs=2", **AMP)).train()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1, 3)
        with pytest.raises(TrainingInterrupted):
            Trainer(make_cfg("Global.name=parts", "Global.epochs=2", **AMP)).train()
    parts = Trainer(make_cfg("Global.name=parts", "Global.epochs=2", **AMP)).train(resume="auto")
    assert ck.load_checkpoint(parts.run_dir / "latest")[ck.STATES]["scaler"]["incr_count"] == 12
    assert_same_checkpoint(whole.run_dir / "latest", parts.run_dir / "latest")


def test_a_run_of_a_gpu_goes_on_on_a_cpu(make_cfg, tiny_net, gpu, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 0, 3)
        with pytest.raises(TrainingInterrupted):
            Trainer(make_cfg("Global.epochs=1", **AMP)).train()
    monkeypatch.undo()
    monkeypatch.setattr(build, "create_model", lambda name, **arguments: tiny_net(**arguments))
    result = Trainer(make_cfg("Global.epochs=1", **AMP)).train(resume="auto")
    assert ck.load_checkpoint(result.run_dir / "latest")[ck.STATES]["epoch"] == 1


def test_configs():
    block = {"enable": True, "level": "O1", "init_loss_scaling": 2.0}
    assert amp_configs(block, "gpu:1") == {"level": "O1", "init_loss_scaling": 2.0}
    assert amp_configs({**block, "enable": False}, "gpu:1") is None
    assert amp_configs(block, "cpu") is None


def test_the_name_of_the_device(monkeypatch):
    """Whatever `paddle.set_device` returns."""
    assert build.set_device("cpu") == use_device("cpu") == device_name() == "cpu"
    assert not is_gpu()
    used = []
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(paddle, "set_device", lambda name: used.append(name) or object())
    monkeypatch.setattr(paddle.device, "get_device", lambda: used[-1])
    assert build.set_device("auto") == "gpu:0"
    assert is_gpu()
    assert build.set_device("gpu:1") == "gpu:1"
    with pytest.raises(ValueError, match="Global.device is gpu:2, but Paddle sees 2"):
        build.set_device("gpu:2")


def test_the_loss_of_half_precision_is_float32():
    """`paddle.Model` computes it outside of `auto_cast`."""
    loss = build_loss({"label_smoothing": 0.1, "auxiliary": {}}, tiny := paddle.nn.Linear(3, 3))
    logits = tiny(paddle.randn([4, 3])).astype("float16")
    assert loss(logits, paddle.to_tensor([0, 1, 2, 0])).dtype == paddle.float32
