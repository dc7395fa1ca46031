"""Saved networks: kept while the package stays as it is, and made again after an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed import model_store
from benchmarks.speed.rows import Contestant

NETWORK = {"network": "resnet50", "size": 224}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """What was saved, into a home of its own."""
    networks = []

    class Saver:
        def __init__(self, engine, threads):
            self.engine = engine

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, action, job, folder, converter, **network):
            networks.append(network)
            (Path(folder) / "images.npy").touch(exist_ok=False)
            if network.get("interrupted"):
                raise KeyboardInterrupt
            return {"failures": {"training": "an op"}}

    monkeypatch.setenv("PPEFFCONV_HOME", str(tmp_path))
    monkeypatch.setattr(model_store, "Worker", Saver)
    monkeypatch.setattr(model_store, "converter", lambda: "")
    return networks


def place(network) -> Path:
    contestant = model_store.with_folder(Contestant("openvino", {"job": "infer", "models": network, "batch": 8}), 2)
    assert contestant.job.keys() == {"job", "batch", "folder"}
    return Path(contestant.job["folder"])


def test_saved_once(saved):
    assert place(NETWORK) == place(dict(reversed(NETWORK.items())))
    assert (place(NETWORK) / "images.npy").is_file()
    assert saved == [NETWORK]
    assert place({**NETWORK, "size": 448}) != place(NETWORK)
    assert len(saved) == 2
    plain = Contestant("ours", {"job": "train"})
    assert model_store.with_folder(plain, 2) == plain


def test_saved_again_after_an_interruption_and_a_change(saved, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        place({**NETWORK, "interrupted": 1})
    folder = place(NETWORK)
    with pytest.raises(KeyboardInterrupt):  # not taken for complete
        place({**NETWORK, "interrupted": 1})
    monkeypatch.setattr(model_store, "_fingerprint", lambda: "changed")
    assert place(NETWORK) != folder
    assert not folder.exists()
