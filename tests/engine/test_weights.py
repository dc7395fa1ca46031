"""Which weights are found, and what happens if they do not fit."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ppeffconv.engine import checkpoint as ck
from ppeffconv.engine.weights import find_weights, initialise, load_backbone, load_for_inference
from ppeffconv.models import create_model


def network(classes: int = 3, width: int = 4) -> nn.Layer:
    return nn.Sequential(("body", nn.Linear(2, width)), ("head", nn.Linear(width, classes)))


def checkpoint(folder, net, ema=None):
    contents = {ck.PARAMS: net.state_dict(), ck.STATES: {"data": {"image_mode": "L"}}}
    ck.save_checkpoint(folder, contents | ({ck.EMA: ema.state_dict()} if ema else {}))


def test_run_checkpoint_and_file(tmp_path):
    net = network()
    checkpoint(tmp_path / "run" / "latest", net)
    assert find_weights(tmp_path / "run") == tmp_path / "run" / "latest" / ck.PARAMS
    checkpoint(tmp_path / "run" / "best", net, ema=net)
    assert find_weights(tmp_path / "run") == tmp_path / "run" / "best" / ck.EMA
    assert find_weights(tmp_path / "run" / "latest") == tmp_path / "run" / "latest" / ck.PARAMS
    assert find_weights(tmp_path / "run" / "latest" / "model") == tmp_path / "run" / "latest" / ck.PARAMS
    with pytest.raises(FileNotFoundError, match="no weights at"):
        find_weights(tmp_path)


def test_load_for_inference(tmp_path):
    saved, net = network(), network()
    checkpoint(tmp_path / "run", network(), ema=saved)
    assert load_for_inference(net, tmp_path / "run") == {"image_mode": "L"}
    np.testing.assert_array_equal(net.head.weight.numpy(), saved.head.weight.numpy())
    paddle.save(saved.state_dict(), str(tmp_path / "alone.pdparams"))
    assert load_for_inference(net, tmp_path / "alone.pdparams") == {}


def test_another_network_is_one_error_and_changes_nothing(tmp_path):
    checkpoint(tmp_path / "run", network(width=5))
    net = network()
    before = net.body.weight.numpy().copy()
    message = r"does not fit .*3 misshapen: body\.weight: got \[2, 5\], expected \[2, 4\]"
    for load in (load_for_inference, initialise):
        with pytest.raises(ValueError, match=message):
            load(net, tmp_path / "run")
    np.testing.assert_array_equal(net.body.weight.numpy(), before)


def test_head_of_other_classes_is_dropped_for_training_only(tmp_path):
    saved = network(classes=7)
    checkpoint(tmp_path / "run", saved)
    net = network()
    with pytest.raises(ValueError, match="2 misshapen: head.weight"):
        load_for_inference(net, tmp_path / "run")
    head = net.head.weight.numpy().copy()
    said = initialise(net, tmp_path / "run")
    np.testing.assert_array_equal(net.body.weight.numpy(), saved.body.weight.numpy())
    np.testing.assert_array_equal(net.head.weight.numpy(), head)
    assert "its classifier (head.weight, head.bias) has other classes" in said


def test_initialise_takes_a_head_that_fits(tmp_path):
    saved, net = network(), network()
    checkpoint(tmp_path / "run", saved)
    initialise(net, tmp_path / "run")
    np.testing.assert_array_equal(net.head.weight.numpy(), saved.head.weight.numpy())


def test_a_backbone_starts_from_a_classifier(tmp_path):
    plain = create_model("resnet50", width=8, num_classes=3)
    paddle.save(plain.state_dict(), str(tmp_path / "plain.pdparams"))
    for options in ({}, {"deformable": True}):
        net = create_model("resnet50", width=8, features_only=True, **options)
        load_backbone(net, "resnet50", tmp_path / "plain")
        assert (net.layer4[2].conv3.weight == plain.layer4[2].conv3.weight).all()
    with pytest.raises(ValueError, match="does not fit"):
        load_backbone(create_model("sp_resnet50", width=8, features_only=True), "sp_resnet50", tmp_path / "plain")
    with pytest.raises(FileNotFoundError, match="no weights at padle"):
        load_backbone(net, "resnet50", "padle")


def test_not_a_weight_file(tmp_path):
    path = tmp_path / "x.pdparams"
    paddle.save([1, 2], str(path))
    with pytest.raises(ValueError, match="holds a list, expected a mapping"):
        load_for_inference(network(), path)
    path.write_bytes(b"text")
    with pytest.raises(RuntimeError, match="cannot read .*x.pdparams"):
        load_for_inference(network(), path)
