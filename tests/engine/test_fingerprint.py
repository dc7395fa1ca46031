"""What must agree to resume, and what need not."""

from __future__ import annotations

import copy

import pytest

from ppeffconv.engine.fingerprint import check_fingerprint, fingerprint


def config() -> dict:
    return {
        "Global": {"seed": 1, "epochs": 5, "log_interval": 3},
        "Arch": {"name": "resnet20", "ratio": 0.5},
        "Loss": {"auxiliary": {}},
        "Optimizer": {"lr": 0.1, "schedule": {"name": "Step", "milestones": [1, 2]}},
        "Sampling": {"start_temperature": 1.0},
        "EMA": {"decay": None},
        "AMP": {"enable": False},
        "DataLoader": {"Train": {"transforms": ["ToArray"], "num_workers": 0}},
        "Metric": {"topk": [1]},
    }


def differs(change, samples=False, processes=1) -> bool:
    one, two = config(), copy.deepcopy(config())
    change(two)
    try:
        check_fingerprint(fingerprint(one, 1, samples), fingerprint(two, processes, samples), "X")
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
    ],
)
def test_what_must_agree(change):
    assert differs(change)


def test_what_need_not_agree():
    assert not differs(lambda cfg: cfg["DataLoader"]["Train"].update(num_workers=4))
    assert not differs(lambda cfg: cfg["Global"].update(log_interval=1))
    assert not differs(lambda cfg: cfg["Metric"].update(topk=[1, 5]))


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
        check_fingerprint(fingerprint(one, 1, False), fingerprint(two, 1, False), "X")
