"""Inference in every engine that is here, on a small network; what is counted, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import paddle
import pytest

from benchmarks.speed import environment
from benchmarks.speed.busy_rows import busy_rows
from benchmarks.speed.deploy_rows import BASE, DENSE, NETWORKS, deploy_rows, growth_rows
from benchmarks.speed.engines import Worker
from benchmarks.speed.layer_kinds import KINDS, by_kind, multiply_adds, share_of_others
from benchmarks.speed.peers import models
from ppeffconv import deploy
from ppeffconv.layers import VersatileConv2D

OPTIONS = {"alpha": 0.5, "num_classes": 10}
NETWORK = {"network": "oct_resnet20", "options": OPTIONS, "size": 32, "images": 2, "density": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A saved network; without paddle2onnx only in the forms for Paddle."""
    folder = tmp_path_factory.mktemp("models")
    with Worker("ours", 1) as worker:
        answer = worker.ask("prepare", job="models", folder=str(folder), converter="", **NETWORK)
    return folder, answer["failures"]


def test_ours_gives_the_logits_of_the_training_form(folder):
    job = {"job": "deployed", "network": "oct_resnet20", "options": OPTIONS, "size": 32, "batch": 3}
    with Worker("ours", 1) as worker:
        facts = worker.ask("prepare", folder=str(folder[0]), **job)
        assert worker.ask("run", steps=1)["ms"][0] > 0
    assert facts["error"] < 1e-4
    assert facts["macs"] == 3 * json.loads((folder[0] / "facts.json").read_text())["macs"]


def test_paddle_inference_runs_the_saved_network(folder):
    with Worker("paddle", 1) as worker:
        facts = worker.ask("prepare", job="infer", folder=str(folder[0]), batch=2, forms=["training"])
    assert facts["form"] == "training"
    assert facts["error"] < 1e-4


@pytest.mark.skipif(environment.find_python() is None, reason="the peers' environment has not been made")
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_peers_run_the_converted_network(folder, engine):
    path, failures = folder
    if failures:
        pytest.skip(f"there is no ONNX file: {failures}")
    with Worker(engine, 1, environment.find_python()) as worker:
        facts = worker.ask("prepare", job="infer", folder=str(path), batch=2)
    assert facts["form"] in models.FORMS
    assert facts["error"] < 1e-4


def test_masks_have_the_density_asked_for():
    options = {"eval_mode": "deterministic"}
    job = {"job": "deployed", "network": "sampled_resnet20", "options": options, "size": 44, "batch": 2}
    with Worker("ours", 1) as worker:
        density, full = (worker.ask("prepare", **job, density=wanted)["density"] for wanted in (0.35, 1.0))
    assert density == pytest.approx(0.35, abs=0.01)
    assert full == 1


def test_shared_products_are_counted_once():
    net = paddle.nn.Sequential(VersatileConv2D(8, 8, 3, padding=1, delta=1, bias_attr=False))
    assert multiply_adds(deploy(net).program, (8, 5, 6)) == 5 * 6 * 2 * 8 * 9  # two stored filters for eight outputs


def test_fastest_form_that_loads_and_is_right(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", np.zeros([2, 3, 4, 4], np.float32))
    np.save(tmp_path / "logits.npy", np.array([[1.0, -2.0], [0.5, 1.0]], np.float32))
    (tmp_path / "facts.json").write_text('{"macs": 7}')

    def refuse():
        raise RuntimeError("not in this engine")

    def form(second, milliseconds):
        def run(x):
            return np.array([[1.0, second]] * len(x))

        speeds[run] = milliseconds
        return lambda: run

    speeds = {}
    monkeypatch.setattr(models, "_fastest", lambda run, x: speeds[run])
    slow, fast, wrong = form(-2.0, 3.0), form(-2.0001, 2.0), form(-1.8, 1.0)
    loaders = {"slow": slow, "refused": refuse, "fast": fast, "wrong": wrong}
    facts = models.job(str(tmp_path), 1, loaders, {"version": "v"}).facts()
    assert facts == {"form": "fast", "error": pytest.approx(5e-5), "macs": 7, "version": "v"}
    assert models.job(str(tmp_path), 1, {"wrong": wrong}, {}).facts()["error"] == pytest.approx(0.1)
    with pytest.raises(RuntimeError, match="not in this engine"):
        models.job(str(tmp_path), 1, {"refused": refuse}, {})
    assert models.images(str(tmp_path), 5).shape == (5, 3, 4, 4)
    with pytest.raises(FileNotFoundError, match=r"could not be saved as \*.onnx"):
        models.forms(str(tmp_path), "{}.onnx")


def test_kinds_of_steps():
    layers = by_kind(["conv", "ddf", "mask", "add"], [4.0, 2.0, 1.0, 1.0, 0.5, 0.5])
    assert set(layers) == set(KINDS)
    assert (layers["convolution"], layers["dynamic filters"], layers["masks"], layers["other"]) == (4, 2, 1, 2)
    assert share_of_others(layers) == pytest.approx(1 / 3)


def test_busy_rows():
    rows = {row.name: row for row in busy_rows()}
    assert all(row.beside and len(row.targets) == 2 for row in rows.values())
    assert set(rows["resnet50"].contestants) == {"ours", "OpenVINO", "onnxruntime", "Paddle Inference"}
    assert set(rows["train"].contestants) == {"ours", "PyTorch"}


def test_rows():
    rows = {row.name: row for row in deploy_rows()}
    assert [target.text for target in rows["oct_resnet50_50_batch1"].targets] == [
        f"1.55x faster than {BASE}",
        "faster than OpenVINO",
        f"2.8x faster than {BASE}: ours, bfloat16",
    ]
    assert not rows["oct_resnet50_50_batch8"].targets
    assert DENSE in rows["sampled_resnet50"].contestants
    assert [row.name for row in growth_rows()][-1] == "side224_batch16"
    assert set(growth_rows()[0].contestants) == {*NETWORKS, "sampled_resnet50"}
