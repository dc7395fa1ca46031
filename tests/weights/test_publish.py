"""Publishing trained weights, and using them: float16 where it changes no prediction."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import paddle
import pytest
import yaml
from safetensors import safe_open

import ppeffconv
from ppeffconv.weights import pretrained as module
from ppeffconv.weights import publish, table
from ppeffconv.weights.remote import fetch
from ppeffconv.weights.table import rows as rows_of

FOREIGN = {
    "model": "resnet50",
    "tag": "x",
    "source": "PaddlePaddle/Paddle",
    "licence": "MIT",
    "classes": 5,
    "url": "https://host/x",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "table.yaml").write_text("# What this is.\n" + yaml.safe_dump({"weights": [FOREIGN]}))
    return tmp_path


@pytest.fixture
def use(folder, monkeypatch):
    """Let `create_model` see the table in ``folder``."""
    monkeypatch.setattr(module, "rows", lambda model: rows_of(model, table(folder)))
    monkeypatch.setattr(module, "fetch", partial(fetch, folder=folder))


def network(name="oct_resnet20", **kwargs):
    net = ppeffconv.create_model(name, num_classes=4, in_channels=1, **kwargs)
    for key, value in net.state_dict().items():
        if key.endswith("_variance"):
            value.set_value(paddle.uniform(value.shape, min=0.5, max=2.0))
    return net


BATCHES = [np.random.default_rng(i).standard_normal((5, 1, 14, 15)).astype("float32") for i in range(2)]


def test_a_network_comes_back(folder, use):
    net = network(alpha=0.25)
    before = {key: value.numpy() for key, value in net.state_dict().items()}
    row = publish(
        net,
        "oct_resnet20",
        "tiny",
        BATCHES,
        classes=4,
        arguments={"alpha": 0.25, "in_channels": 1},
        metrics={"top1": 91.5, "measured_by": "ppeffconv"},
        recipe="configs/octconv/x.yaml",
        folder=folder,
    )
    assert net.training
    assert all((value.numpy() == before[key]).all() for key, value in net.state_dict().items())
    again = ppeffconv.create_model("oct_resnet20", pretrained=True)
    assert again.fc.weight.shape[-1] == 4
    net.eval(), again.eval()
    x = paddle.to_tensor(np.concatenate(BATCHES))
    assert (net(x).argmax(-1) == again(x).argmax(-1)).all()
    np.testing.assert_allclose(again(x).numpy(), net(x).numpy(), rtol=0.02, atol=0.02)

    text = (folder / "table.yaml").read_text()
    assert text.startswith("# What this is.\nweights:\n")
    assert [r.name for r in table(folder)] == ["resnet50.x", "oct_resnet20.tiny"]
    assert table(folder)[1] == row
    assert (row.metrics["top1"], row.recipe, row.licence) == (91.5, "configs/octconv/x.yaml", "Apache-2.0")
    file = folder / "files" / "oct_resnet20.tiny.safetensors"
    assert file.stat().st_mode == (folder / "table.yaml").stat().st_mode  # as readable as any other file
    with safe_open(file, "numpy") as file:
        assert json.loads(file.metadata()["arguments"]) == {"alpha": 0.25, "in_channels": 1}
        assert file.metadata()["model"] == "oct_resnet20"
        assert file.get_tensor("fc.weight").dtype == np.float16
    assert sorted(path.name for path in folder.iterdir()) == ["files", "table.yaml"]

    with pytest.raises(ValueError, match=r"oct_resnet20\.tiny was trained with alpha=0.25; got alpha=0.5"):
        ppeffconv.create_model("oct_resnet20", pretrained="tiny", alpha=0.5)
    (folder / "files" / row.file).write_bytes(b"x")
    with pytest.raises(RuntimeError, match=r"tiny\.safetensors is damaged"):
        ppeffconv.create_model("oct_resnet20", pretrained="tiny")
    (folder / "files" / row.file).unlink()
    with pytest.raises(FileNotFoundError, match=r"tiny\.safetensors is missing"):
        ppeffconv.create_model("oct_resnet20", pretrained="tiny")


def test_publishing_again_replaces_the_row(folder):
    for top1 in (1.0, 2.0):
        publish(network("resnet20"), "resnet20", "a", BATCHES, classes=4, metrics={"top1": top1}, folder=folder)
        publish(network("resnet20"), "resnet20", "b", BATCHES, classes=4, metrics={"top1": top1}, folder=folder)
    assert [(r.name, r.metrics.get("top1")) for r in table(folder)] == [
        ("resnet50.x", None),
        ("resnet20.a", 2.0),
        ("resnet20.b", 2.0),
    ]


class Threshold(paddle.nn.Layer):
    """Its prediction hangs on the twelfth bit of a weight."""

    def __init__(self):
        super().__init__()
        self.fc = paddle.nn.Linear(1, 2)
        self.fc.weight.set_value(np.array([[1.0, 1.0001]], "float32"))
        self.fc.bias.set_value(np.zeros(2, "float32"))

    def forward(self, x):
        return self.fc(x)


def test_float32_where_float16_changes_a_prediction(folder):
    row = publish(Threshold(), "resnet20", "sharp", [np.ones((1, 1), "float32")], classes=2, folder=folder)
    with safe_open(folder / "files" / row.file, "numpy") as file:
        assert file.get_tensor("fc.weight").dtype == np.float32
        assert file.get_tensor("fc.weight").tolist() == Threshold().fc.weight.tolist()


def test_a_weight_beyond_float16_stays_float32(folder):
    net = Threshold()
    net.fc.bias.set_value(np.array([1e5, 0], "float32"))
    row = publish(net, "resnet20", "large", [np.ones((1, 1), "float32")], classes=2, folder=folder)
    with safe_open(folder / "files" / row.file, "numpy") as file:
        assert file.get_tensor("fc.weight").dtype == np.float16
        assert file.get_tensor("fc.bias").tolist() == [1e5, 0]


def test_noise_is_the_same_on_both_sides(folder):
    net = network("sampled_resnet20")
    state = paddle.get_rng_state()[0].current_seed()
    row = publish(net, "sampled_resnet20", "noisy", BATCHES, classes=4, folder=folder)
    assert paddle.get_rng_state()[0].current_seed() == state
    with safe_open(folder / "files" / row.file, "numpy") as file:
        assert file.get_tensor("fc.weight").dtype == np.float16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tag": "Not a tag"}, "'tag' must consist of"),
        ({"classes": 0}, "must be positive"),
        ({"batches": []}, "no images were given"),
        ({"batches": [np.full((1, 1), np.nan, "float32")]}, "outputs are not finite"),
    ],
)
def test_nothing_is_written_for_what_makes_no_sense(folder, change, message):
    before = (folder / "table.yaml").read_text()
    given = {"model": "resnet20", "tag": "x", "batches": [np.ones((1, 1), "float32")], "classes": 2, **change}
    with pytest.raises(ValueError, match=message):
        publish(Threshold(), **given, folder=folder)
    assert (folder / "table.yaml").read_text() == before
    assert sorted(path.name for path in folder.iterdir()) == ["table.yaml"]


def test_weights_that_are_not_finite(folder):
    net = Threshold()
    net.fc.bias.set_value(np.array([np.inf, 0], "float32"))
    with pytest.raises(ValueError, match=r"'fc\.bias' has values that are not finite"):
        publish(net, "resnet20", "x", [np.ones((1, 1), "float32")], classes=2, folder=folder)
