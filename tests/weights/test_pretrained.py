"""`create_model(..., pretrained=...)`: tags, files, addresses, mirrors, heads, and networks that fit in part."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

import ppeffconv
from ppeffconv.engine.weights import load_backbone
from ppeffconv.utils import transfer
from ppeffconv.weights import pretrained as module
from ppeffconv.weights import table as read_table
from ppeffconv.weights.reference import converted
from ppeffconv.weights.table import rows as rows_of
from ppeffconv.weights.table import starts as starts_of
from tests.utils.http_server import Server, whole

PADDLE = "PaddlePaddle/Paddle"


def saved(net, path):
    paddle.save(net.state_dict(), str(path))
    return path.read_bytes()


def same(ours, theirs):
    return all((value == theirs.state_dict()[key]).all() for key, value in ours.state_dict().items())


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that is the mirror."""
    ppeffconv.ops.status()  # the kernels lie in the true folder, and are looked for once
    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(transfer, "FIRST_WAIT", 0.001)
    for name in ("PPEFFCONV_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        monkeypatch.setenv("PPEFFCONV_WEIGHTS_URL", f"{server.url}/mirror/")
        yield server


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Return publish(name): a network of paddle.vision, of which the server has Paddle's file, with random values."""

    def publish(name):
        theirs = getattr(paddle.vision.models, name)()
        for value in theirs.state_dict().values():
            if value.ndim == 1:  # biases and norms, which begin alike in every layer
                value.set_value(0.5 + paddle.rand(value.shape))
        content = saved(theirs, tmp_path / "theirs.pdparams")
        (row,) = rows_of(name)
        row = replace(row, md5=hashlib.md5(content).hexdigest(), size=len(content))
        monkeypatch.setattr(module, "rows", lambda model: rows_of(model, [row]))
        monkeypatch.setattr(module, "starts", lambda model: starts_of(model, [row]))
        server.plan(f"/mirror/{row.url.removeprefix('https://')}", whole(content))
        return theirs

    return publish


@pytest.fixture
def resnet18(publish):
    return publish("resnet18")


@pytest.fixture
def messages(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("ppeffconv"), "propagate", True)
    return caplog


def test_all_that_may_be_given_for_paddles_resnet(resnet18, server, tmp_path, messages):
    ours = ppeffconv.create_model("resnet18", pretrained=True)
    assert same(ours, resnet18)
    x = paddle.randn([1, 3, 65, 47])
    resnet18.eval(), ours.eval()
    np.testing.assert_allclose(ours(x).numpy(), resnet18(x).numpy(), rtol=1e-4, atol=1e-4)
    again = ppeffconv.create_model("resnet18", pretrained="paddle", num_classes=1000, output_stride=8)
    assert same(again, resnet18)
    assert len(server.seen) == 1
    cached = tmp_path / "home" / "weights" / "paddle-hapi.bj.bcebos.com" / "models" / "resnet18.pdparams"
    assert same(ppeffconv.create_model("resnet18", pretrained=cached), resnet18)
    assert not messages.records or "downloading" in messages.text

    features = ppeffconv.create_model("resnet18", pretrained=True, features_only=True)
    assert same(features, resnet18)

    other = ppeffconv.create_model("resnet18", pretrained=True, num_classes=7)
    assert other.fc.weight.shape == [512, 7]
    assert (other.layer4[1].conv2.weight == resnet18.layer4[1].conv2.weight).all()
    assert "the classifier (fc.weight, fc.bias) is for other classes" in messages.text

    with pytest.raises(ValueError, match=r"conv1.weight: got \[64, 3, 7, 7\], expected \[64, 1, 7, 7\]"):
        ppeffconv.create_model("resnet18", pretrained=True, in_channels=1)


def test_a_method_takes_the_layers_that_fit(resnet18, messages):
    net = ppeffconv.create_model("sp_resnet18", pretrained="paddle")
    assert (net.conv1.weight == resnet18.conv1.weight).all()
    assert (net.bn1._variance == resnet18.bn1._variance).all()
    assert (net.fc.weight == resnet18.fc.weight).all()
    assert "come from resnet18.paddle; random are those of layer1.0.conv1" in messages.text
    with pytest.raises(FileNotFoundError, match=r"known for 'sp_resnet18'; its tags: paddle \(the layers that fit\)"):
        ppeffconv.create_model("sp_resnet18", pretrained=True)
    with pytest.raises(
        FileNotFoundError, match="no weight file at padle, and no tag of 'sp_resnet18'; its tags: paddle"
    ):
        ppeffconv.create_model("sp_resnet18", pretrained="padle")


def test_deformable_backbones_start_as_the_plain_one(publish):
    theirs = publish("resnet50")
    plain = ppeffconv.create_model("resnet50", pretrained="paddle", features_only=True)
    deformable = ppeffconv.create_model("resnet50", features_only=True, deformable=True)
    load_backbone(deformable, "resnet50", "paddle")
    plain.eval(), deformable.eval()
    with paddle.no_grad():
        x = paddle.randn([1, 3, 65, 47])
        for ours, expected in zip(deformable(x), plain(x)):
            np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=0, atol=1e-4 * float(expected.std()))
    sampled = ppeffconv.create_model("sampled_resnet50", features_only=True, deformable=True)
    load_backbone(sampled, "sampled_resnet50", "paddle")
    assert (sampled.layer4[2].conv2.weight == theirs.layer4[2].conv2.weight).all()


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "densenet121"])
def test_paddles_networks_with_other_names(name, publish, messages):
    """Each layer gets the weights of its counterpart, so the logits are equal."""
    theirs, ours = publish(name), ppeffconv.create_model(name, pretrained=True)
    theirs.eval(), ours.eval()
    x = paddle.randn([2, 3, 65, 47])
    with paddle.no_grad():
        expected = theirs(x).numpy()
        np.testing.assert_allclose(ours(x).numpy(), expected, rtol=0, atol=1e-5 * expected.std())
    other = ppeffconv.create_model(name, pretrained="paddle", num_classes=7)
    assert other.head.fc.weight.shape[-1] == 7
    assert "the classifier (head.fc.weight, head.fc.bias) is for other classes" in messages.text
    maps = ppeffconv.create_model(name, pretrained=True, features_only=True)
    assert {key for key in ours.state_dict() if key.startswith("features.")} == set(maps.state_dict())
    assert all((value == ours.state_dict()[key]).all() for key, value in maps.state_dict().items())


@pytest.mark.parametrize(
    "name", ["resnet34", "resnet50", "resnet101", "resnet152", "vgg16", "resnext50_32x4d", "resnext101_32x4d"]
)
def test_keys_and_shapes_of_the_others(name):
    """Without their values, which are not needed here."""
    with paddle.LazyGuard():
        theirs, ours = getattr(paddle.vision.models, name)(), ppeffconv.create_model(name)
    arrays = {key: np.broadcast_to(np.float32(0), value.shape) for key, value in theirs.state_dict().items()}
    got = converted(paddle.nn.Layer(), arrays, PADDLE)
    assert {k: list(v.shape) for k, v in got.items()} == {k: v.shape for k, v in ours.state_dict().items()}
    heads = {row.model: row.head for row in read_table()}
    assert ours.state_dict()[f"{heads[name]}.weight"].shape[-1] == 1000


def test_paddles_vgg():
    """It has no BatchNorm; ours have those that change nothing."""
    theirs = paddle.vision.models.vgg16(num_classes=0, with_pool=False)
    for layer in theirs.sublayers():
        if isinstance(layer, paddle.nn.Conv2D):
            layer.bias.set_value(paddle.randn(layer.bias.shape))
    ours = ppeffconv.create_model("vgg16", head="cifar").features
    state = {k.replace("features.", ""): v for k, v in converted(ours, theirs.state_dict(), PADDLE).items()}
    assert set(state) == set(ours.state_dict())
    ours.set_state_dict(state)
    ours.eval(), theirs.eval()
    x = paddle.randn([1, 3, 64, 32])
    np.testing.assert_allclose(ours(x).numpy(), theirs(x).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("vgg13", "vgg16"), ("mobilenet_v2", "mobilenet_v1"), ("vgg16", "alexnet")]
)
def test_another_network_of_paddle_is_an_error_that_lists_the_keys(theirs, ours):
    with paddle.LazyGuard():
        theirs, net = getattr(paddle.vision.models, theirs)(), ppeffconv.create_model(ours)
    arrays = {key: np.broadcast_to(np.float32(0), value.shape) for key, value in theirs.state_dict().items()}
    with pytest.raises(ValueError, match="PaddlePaddle/Paddle checkpoint does not fit.* missing: "):
        ppeffconv.load_reference(net, arrays, PADDLE)


def test_paddles_alexnet():
    """Its dropout works in evaluation too; in ours that is in the weights."""
    theirs, ours = paddle.vision.models.alexnet(), ppeffconv.create_model("alexnet")
    ppeffconv.load_reference(ours, theirs.state_dict(), PADDLE)
    theirs.eval(), ours.eval()
    x = paddle.randn([1, 3, 224, 224])
    with paddle.no_grad():
        expected = theirs(x).numpy()
        np.testing.assert_allclose(ours(x).numpy(), expected, rtol=0, atol=1e-5 * expected.std())


def test_an_address(server, tmp_path):
    net = ppeffconv.create_model("resnet20", num_classes=3)
    save_file({key: value.numpy() for key, value in net.state_dict().items()}, tmp_path / "x.safetensors")
    content = (tmp_path / "x.safetensors").read_bytes()
    url = server.plan("/x.safetensors", whole(content))
    digits = hashlib.sha256(content).hexdigest()
    assert same(ppeffconv.create_model("resnet20", f"{url}#sha256={digits}", num_classes=3), net)
    server.plan("/y.safetensors", whole(content))
    with pytest.raises(RuntimeError, match=f"the file has sha256 {digits}"):
        ppeffconv.create_model("resnet20", f"{server.url}/y.safetensors#sha256={'0' * 64}", num_classes=3)
    assert same(ppeffconv.create_model("resnet20", f"{server.url}/y.safetensors", num_classes=3), net)
    pins = list((tmp_path / "home").rglob("y.safetensors.sha256"))
    assert [pin.read_text() for pin in pins] == [f"{digits}  y.safetensors\n"]
    with pytest.raises(ValueError, match="expected '#sha256='"):
        ppeffconv.create_model("resnet20", f"{url}#crc=1")


def test_offline_without_the_file(server, monkeypatch):
    monkeypatch.setenv("PPEFFCONV_OFFLINE", "1")
    with pytest.raises(
        RuntimeError, match=r"OFFLINE is set.*resnet18\.pdparams \(md5 cf548f46534aa3560945be4b95cd11c4\)"
    ):
        ppeffconv.create_model("resnet18", pretrained=True)


def test_weights_that_nobody_has_opened_come_only_when_asked_for(monkeypatch):
    row = replace(rows_of("oct_mobilenet_v1", read_table())[0], model="oct_resnet20")
    monkeypatch.setattr(module, "rows", lambda model: rows_of(model, [row]))
    with pytest.raises(
        FileNotFoundError, match="no pretrained weights are known for 'oct_resnet20'; its tags: facebook"
    ):
        ppeffconv.create_model("oct_resnet20", pretrained=True)
    found = module.find_pretrained("oct_resnet20", row.tag)
    assert found.arguments({}) == {"alpha": 0.375, "scale": 0.75}
    expected = {"alpha": 0.375, "scale": 0.75, "output_stride": 8}
    assert found.arguments({"alpha": 0.375, "output_stride": 8}) == expected
    with pytest.raises(ValueError, match=f"oct_resnet20.{row.tag} was trained with alpha=0.375; got alpha=0.5"):
        found.arguments({"alpha": 0.5})


def test_addresses_that_differ_in_their_query_are_other_files(server, tmp_path):
    for i in range(2):
        net = ppeffconv.create_model("resnet20", num_classes=2)
        save_file({key: value.numpy() for key, value in net.state_dict().items()}, tmp_path / "x")
        server.plan(f"/get?id={i}", whole((tmp_path / "x").read_bytes()))
        assert same(ppeffconv.create_model("resnet20", f"{server.url}/get?id={i}", num_classes=2), net)
    assert len(server.seen) == 2
