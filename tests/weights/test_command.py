"""`python -m ppeffconv.weights`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import import_module

import numpy as np
import paddle
import pytest
from safetensors import safe_open

import ppeffconv
from ppeffconv.weights import __main__ as command
from ppeffconv.weights import read_weights, rows
from tests.utils.http_server import Server, whole

from .test_loading import SAMPLING, SP, authors_state, same
from .test_mxnet_file import array, file_of

FACEBOOK = "facebookresearch/OctConv"


def gluon_file(net, path):
    """The weights of ``net`` as Gluon would have saved them."""
    state = {k: v for k, v in authors_state(net).items() if "num_batches" not in k}
    norms = {k.rpartition(".")[0] for k in state if k.endswith("running_mean")}
    names = []
    for key in state:
        layer, _, name = key.rpartition(".")
        names.append(f"{layer}.{ {'weight': 'gamma', 'bias': 'beta'}.get(name, name) if layer in norms else name }")
    path.write_bytes(file_of([array(value, 2) for value in state.values()], names))


def test_from_facebooks_file_to_our_network(tmp_path, capsys):
    theirs = ppeffconv.create_model("oct_resnet20", alpha=0.25)
    gluon_file(theirs, tmp_path / "oct.params")
    arguments = ["convert", str(tmp_path / "oct.params"), "--source", FACEBOOK, "--name", "oct_resnet20"]
    assert command.main([*arguments, "-a", "alpha=0.25"]) == 0
    assert "oct.safetensors: " in capsys.readouterr().out
    assert same(theirs, ppeffconv.create_model("oct_resnet20", tmp_path / "oct.safetensors", alpha=0.25))
    with safe_open(tmp_path / "oct.safetensors", "numpy") as file:
        assert file.metadata()["source"] == FACEBOOK
        assert file.metadata()["arguments"] == '{"alpha": 0.25}'
    assert command.main(arguments) == 1
    assert "does not fit OctaveResNet" in capsys.readouterr().err


def test_without_a_network_it_only_renames(tmp_path):
    theirs = ppeffconv.create_model("sp_resnet20", num_classes=3)
    state = {f"module.1.{key}": value for key, value in authors_state(theirs).items()}
    paddle.save({"state_dict": state, "epoch": 3}, str(tmp_path / "x.pth.tar"))
    assert (
        command.main(["convert", str(tmp_path / "x.pth.tar"), "--source", SP, "-o", str(tmp_path / "y.safetensors")])
        == 0
    )
    got = read_weights(tmp_path / "y.safetensors")
    assert {k: v.shape for k, v in got.items()} == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert same(theirs, ppeffconv.create_model("sp_resnet20", tmp_path / "y.safetensors", num_classes=3))


def test_a_part_of_a_detector(tmp_path, capsys):
    """As the authors of stochastic sampling publish theirs."""
    theirs = ppeffconv.create_model("sampled_resnet20", features_only=True)
    state = {f"backbone.{key}": value for key, value in authors_state(theirs).items()}
    state |= {"neck.lateral_convs.0.conv.weight": np.zeros((2, 2, 1, 1)), "bbox_head.fc_cls.weight": np.zeros((2, 2))}
    paddle.save({"state_dict": state, "meta": {"epoch": 12}}, str(tmp_path / "det.pth"))
    common = ["convert", str(tmp_path / "det.pth"), "--source", SAMPLING, "--name", "sampled_resnet20"]
    assert command.main([*common, "-a", "features_only=true", "--part", "backbone"]) == 0
    ours = ppeffconv.create_model("sampled_resnet20", tmp_path / "det.safetensors", features_only=True)
    assert same(theirs, ours)
    assert command.main([*common, "--part", "head"]) == 1
    assert "no part 'head': its keys begin with backbone, bbox_head, neck" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "absent.pth", "--source", SP], "no weight file at absent.pth"),
        (["convert", "x.safetensors", "--source", SP], "would overwrite its source"),
        (["convert", "x.bin", "--source", SP], "cannot read x.bin"),
        (["convert", "good.npz.pdparams", "--source", SP, "-a", "ratio"], "expected KEY=VALUE"),
        (["convert", "good.npz.pdparams", "--source", SP, "-a", "ratio=.5"], "give its --name too"),
        (["convert", "good.npz.pdparams", "--source", SP, "--name", "sp_resnet5"], "unknown model"),
        (["fetch", "nothing*"], "no weights match 'nothing*'"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("x.safetensors", "x.bin"):
        (tmp_path / name).write_bytes(b"what")
    paddle.save({"a": np.zeros(3)}, "good.npz.pdparams")
    assert command.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_list(capsys):
    assert command.main(["list", "resnet5*"]) == 0
    assert capsys.readouterr().out.split() == ["resnet50.paddle", "Apache-2.0", "top-1", "76.27", "(PaddlePaddle/hapi)"]
    assert command.main(["list", "oct_mobilenet_v1"]) == 0
    assert capsys.readouterr().out.count("not opened here yet") == 2


def test_fetch(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path))
    for name in ("PPEFFCONV_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    row = replace(rows("resnet50")[0], md5=hashlib.md5(b"weights").hexdigest())
    monkeypatch.setattr(import_module("ppeffconv.weights.table"), "table", lambda: (row,))
    with Server() as server:
        monkeypatch.setenv("PPEFFCONV_WEIGHTS_URL", server.url)
        server.plan("/paddle-hapi.bj.bcebos.com/models/resnet50.pdparams", whole(b"weights"))
        assert command.main(["fetch", "resnet50.*"]) == 0
    path = capsys.readouterr().out.strip()
    assert path == str(tmp_path / "weights/paddle-hapi.bj.bcebos.com/models/resnet50.pdparams")
    assert open(path, "rb").read() == b"weights"  # noqa: SIM115
