"""`create_model` and `list_models`: names, arguments, weights."""

from __future__ import annotations

import paddle
import pytest

import ppeffconv


def test_list_models():
    names = ppeffconv.list_models("resnet*")
    assert names == ["resnet18", "resnet20", "resnet34", "resnet50", "resnet50d", "resnet56", "resnet101", "resnet152"]
    assert {"oct_resnet26", "oct_resnet200", "sampled_resnet34", "versatile_vgg16"} <= set(ppeffconv.list_models())
    assert ppeffconv.list_models("nothing*") == []
    assert ppeffconv.list_models("uniform_*", pretrained=True) == []  # the baseline has no row in configs/results


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet5", {}, "unknown model 'resnet5'. Did you mean 'resnet5"),
        ("sp_resnet20", {"ratoi": 0.5}, "Did you mean 'ratio'"),
        ("resnet20", {"ratio": 0.5}, "no argument 'ratio'"),
        ("vgg16", {"features_only": True}, "no argument 'features_only'"),
        ("sp_resnet20", {"ratio": 1.5}, "ratio must lie between"),
        ("versatile_resnet20", {"delta": -1}, "delta must lie in"),
        ("ddf_resnet20", {"mode": "max"}, "mode must be"),
    ],
)
def test_mistakes_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        ppeffconv.create_model(name, **arguments)


def test_pretrained_from_a_file(tmp_path):
    net = ppeffconv.create_model("resnet20", num_classes=3)
    path = tmp_path / "net.pdparams"
    paddle.save(net.state_dict(), str(path))
    again = ppeffconv.create_model("resnet20", pretrained=path, num_classes=3)
    assert all((a == b).all() for a, b in zip(net.parameters(), again.parameters()))
    with pytest.raises(FileNotFoundError, match="no weight file"):
        ppeffconv.create_model("resnet20", pretrained=str(tmp_path / "other.pdparams"))
    with pytest.raises(FileNotFoundError, match="no pretrained weights are known"):
        ppeffconv.create_model("uniform_resnet20", pretrained=True)


def test_an_argument_may_have_any_name():
    net = ppeffconv.create_model("gated_resnet20", num_classes=10, shared=False)
    assert net.layer1[0].conv1.collaborative[0].weight.shape[0] == 16
