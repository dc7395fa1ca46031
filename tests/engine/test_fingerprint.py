"""What must agree to resume, and what need not."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from ppeffconv.data import ArrayDataset, TransformedDataset
from ppeffconv.engine.fingerprint import EPOCHS, STRETCHED, check_fingerprint, fingerprint, hyperparameters, identify


def config() -> dict:
    return {
        "Global": {"seed": 1, "epochs": 5, "log_interval": 3},
        "Arch": {"name": "resnet20", "ratio": 0.5, "pretrained": False},
        "Loss": {"auxiliary": {}},
        "Optimizer": {"lr": 0.1, "schedule": {"name": "Step", "milestones": [1, 2]}},
        "Sampling": {"start_temperature": 1.0},
        "EMA": {"decay": None},
        "AMP": {"enable": False, "init_loss_scaling": 1024.0},
        "DataLoader": {
            "Train": {"transforms": ["ToArray"], "num_workers": 0, "dataset": {"name": "ImageFolder", "root": "a"}},
            "Eval": {"transforms": ["ToArray"], "num_workers": 0, "batch_size": 4},
        },
        "Metric": {"topk": [1]},
    }


def differs(change, samples=False, processes=1) -> bool:
    one, two = config(), copy.deepcopy(config())
    change(two)
    try:
        check_fingerprint(fingerprint(one, 1, samples, {}), fingerprint(two, processes, samples, {}), "X")
    except ValueError:
        return True
    return False


def test_same():
    assert not differs(lambda cfg: None)


@pytest.mark.parametrize(
    "change",
    [
        lambda cfg: cfg["Arch"].update(ratio=0.25),
        lambda cfg: cfg["Arch"].update(alpha=0.25),
        lambda cfg: cfg["Loss"]["auxiliary"].update(sparse=0.1),
        lambda cfg: cfg["Optimizer"]["schedule"].update(milestones=[1, 3]),
        lambda cfg: cfg["DataLoader"]["Train"].update(transforms=["ToArray", "Normalize"]),
        lambda cfg: cfg["Global"].update(seed=2),
        lambda cfg: cfg["AMP"].update(enable=True),
        lambda cfg: cfg["DataLoader"]["Eval"].update(transforms=["ToArray", "Normalize"]),
    ],
)
def test_what_must_agree(change):
    assert differs(change)


def test_what_need_not_agree():
    assert not differs(lambda cfg: cfg["DataLoader"]["Train"].update(num_workers=4))
    assert not differs(lambda cfg: cfg["Global"].update(log_interval=1))
    assert not differs(lambda cfg: cfg["Metric"].update(topk=[1, 5]))
    assert not differs(lambda cfg: cfg["AMP"].update(init_loss_scaling=1.0))  # with AMP off
    assert not differs(lambda cfg: cfg["DataLoader"]["Eval"].update(batch_size=1))
    assert not differs(lambda cfg: cfg["DataLoader"]["Train"]["dataset"].update(root="b"))
    assert not differs(lambda cfg: cfg["Arch"].update(pretrained="somewhere"))


def test_processes_share_the_batches():
    assert differs(lambda cfg: None, processes=2)


def test_epochs_matter_where_something_is_stretched_over_them():
    def more(cfg):
        cfg["Global"]["epochs"] = 9

    def cosine(cfg):
        cfg["Optimizer"]["schedule"]["name"] = "Cosine"

    assert not differs(more)
    assert differs(more, samples=True)
    one, two = config(), config()
    cosine(one)
    cosine(two)
    more(two)
    with pytest.raises(ValueError, match=r"cannot resume X.*Global\.epochs: checkpoint 5, now 9"):
        check_fingerprint(fingerprint(one, 1, False, {}), fingerprint(two, 1, False, {}), "X")


def data(images: np.ndarray, names: str = "abc", labels: np.ndarray | None = None) -> TransformedDataset:
    labels = np.arange(len(images)) % len(names) if labels is None else labels
    return TransformedDataset(ArrayDataset(images, labels, list(names)), lambda image: image)


def test_what_data_are():
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 1)).astype(np.uint8)
    same = identify(data(images))
    assert same == identify(data(images.copy()))
    assert same["images"] == 300
    assert same["classes"] == ["a", "b", "c"]
    others = [data(images[:-1]), data(images, "abd"), data(images[::-1]), data(images, labels=np.zeros(300, int))]
    others += [data(np.concatenate([images[:-1], images[:1]]))]
    assert all(identify(other) != same for other in others)


def test_both_numbers_are_named():
    images = np.zeros((5, 4, 4, 1), np.uint8)
    saved, now = (fingerprint(config(), 1, False, {"Train": data(images[:n])}) for n in (5, 3))
    with pytest.raises(ValueError, match="cannot resume X.* Train data, images: checkpoint 5, now 3"):
        check_fingerprint(saved, now, "X")


def test_a_run_can_be_extended_but_not_shortened():
    short, long = config(), config()
    for cfg in (short, long):
        cfg["Optimizer"]["schedule"]["name"] = "Cosine"
    long["Global"]["epochs"] = 9
    saved, now = (fingerprint(cfg, 1, False, {}) for cfg in (short, long))
    with pytest.raises(ValueError, match="a longer run is --extend EPOCHS"):
        check_fingerprint(saved, now, "X")
    check_fingerprint(saved, now, "X", extend=True)
    check_fingerprint(saved, saved, "X", extend=True)  # as when the same command is given once more
    with pytest.raises(ValueError, match="cannot extend X to 5 epochs: it is a run of 9"):
        check_fingerprint(now, saved, "X", extend=True)


def test_a_checkpoint_of_an_older_version():
    """It has no word about what its data are."""
    now = fingerprint(config(), 1, False, {"Train": data(np.zeros((5, 4, 4, 1), np.uint8))})
    old = {key: value for key, value in now.items() if " data, " not in key and key not in (EPOCHS, STRETCHED)}
    old |= {"DataLoader.Train.dataset.root": "elsewhere", "AMP.enable": False, "Arch.pretrained": False}
    check_fingerprint(old, now, "X")
    with pytest.raises(ValueError, match=r"Arch\.ratio: checkpoint 0\.25, now 0\.5"):
        check_fingerprint(old | {"Arch.ratio": 0.25}, now, "X")


def test_hyperparameters_are_numbers_and_texts():
    cfg = config()
    cfg["DataLoader"]["Train"]["batch_size"] = 8
    found = hyperparameters(cfg)
    assert found["Optimizer.schedule.milestones"] == "[1, 2]"
    assert found["EMA.decay"] == "null"
    assert found["Arch.pretrained"] == "false"
    assert (found["Train.batch_size"], found["Optimizer.lr"], found["Global.epochs"]) == (8, 0.1, 5)
