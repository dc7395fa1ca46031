"""What a run and its checkpoint must agree on for the run to be continued."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from paddle.io import Dataset

from ..config_yaml import inline
from ..data import TransformedDataset, UnreadableImageError

BLOCKS = ("Arch", "Loss", "Optimizer", "Sampling", "EMA", "DataLoader")
MISSING = "not set"
EPOCHS = "Global.epochs"
STRETCHED = "stretched over the epochs"
SAMPLES = 256  # of a data set that are looked at
# changes nothing about the steps: how data are loaded, where they and the first weights lie
FREE = (".num_workers", "DataLoader.Eval.batch_size", "Arch.pretrained")
PLACES = ("DataLoader.Train.dataset.", "DataLoader.Eval.dataset.")


def fingerprint(
    cfg: Mapping[str, Any], processes: int, samples: bool, data: Mapping[str, TransformedDataset]
) -> dict[str, Any]:
    """Return what shapes the course of a run, as dotted key -> value.

    ``Global.epochs`` must agree if the learning rate (Cosine) or the temperature of a network that samples is stretched
    over all epochs: with another number, the steps already done would have been others. Under Step and Constant a run
    may be resumed with more epochs.

    Args:
        cfg: the configuration.
        processes: over how many the batches are shared.
        samples: whether the network has a temperature.
        data: the data sets by the name of their split; see `identify`.
    """
    facts = dict(_flatten({name: cfg[name] for name in BLOCKS}))
    if cfg["AMP"]["enable"]:
        facts |= _flatten({"AMP": cfg["AMP"]})
    facts = {key: value for key, value in facts.items() if not key.endswith(FREE) and not key.startswith(PLACES)}
    facts |= {"Global.seed": cfg["Global"]["seed"], "processes": processes, EPOCHS: cfg["Global"]["epochs"]}
    facts[STRETCHED] = samples or cfg["Optimizer"]["schedule"]["name"] == "Cosine"
    for split, dataset in data.items():
        facts |= {f"{split} data, {name}": value for name, value in identify(dataset).items()}
    return facts


def identify(dataset: TransformedDataset) -> dict[str, Any]:
    """Return what data are, wherever they lie: how many, their classes, and a digest of labels and of some samples.

    The samples are spread evenly over the set; of one that has no more than `SAMPLES`, they are all.
    """
    raw = dataset.dataset
    digest = hashlib.sha256(np.asarray(getattr(raw, "labels", ()), np.int64).tobytes())
    for index in np.unique(np.linspace(0, len(raw) - 1, min(len(raw), SAMPLES)).astype(int)):
        for part in _read(raw, int(index)):
            array = np.asarray(part)
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return {"images": len(raw), "classes": list(dataset.class_names), "content": digest.hexdigest()[:16]}


def _read(data: Dataset, index: int) -> tuple:
    try:
        return data[index]
    except UnreadableImageError:  # evaluation leaves it out
        return ()


def check_fingerprint(saved: Mapping[str, Any], now: Mapping[str, Any], source: str, extend: bool = False) -> None:
    """Raise ValueError that names every key in which the checkpoint ``source`` and the configuration disagree.

    Args:
        extend: whether the run is to become longer than it was meant to be.
    """
    differing = [key for key in _compared(saved, now, extend) if saved.get(key, MISSING) != now.get(key, MISSING)]
    if extend and now[EPOCHS] < saved.get(EPOCHS, 0):
        raise ValueError(
            f"cannot extend {source} to {now[EPOCHS]} epochs: it is a run of {saved[EPOCHS]}; name more of them"
        )
    if not differing:
        return
    lines = [f"{key}: checkpoint {saved.get(key, MISSING)!r}, now {now.get(key, MISSING)!r}" for key in differing]
    longer = "; a longer run is --extend EPOCHS" if EPOCHS in differing else ""
    raise ValueError(
        f"cannot resume {source}, because the configuration or the data are not those it was trained with. "
        f"{'; '.join(lines)}. Set them back{longer}, or start a new run from its weights with "
        "-o Global.pretrained_model=..."
    )


def hyperparameters(cfg: Mapping[str, Any]) -> dict[str, str | float]:
    """Return what runs are compared by, as dotted key -> number or text."""
    chosen = {name: cfg[name] for name in ("Arch", "Loss", "Optimizer", "EMA")}
    chosen["Train"] = {"batch_size": cfg["DataLoader"]["Train"]["batch_size"]}
    chosen["Global"] = {name: cfg["Global"][name] for name in ("epochs", "seed")}
    return {key: value if type(value) in (int, float, str) else inline(value) for key, value in _flatten(chosen)}


def _compared(saved: Mapping[str, Any], now: Mapping[str, Any], extend: bool) -> Sequence[str]:
    """The keys that must agree. A checkpoint of an older version knows its data by their place alone."""
    old = STRETCHED not in saved
    keys = {key for key in {*saved, *now} if not key.endswith(FREE) and not key.startswith(PLACES)}
    if old:
        keys -= {key for key in keys if " data, " in key or key.startswith("AMP.") or key == STRETCHED}
    stretched = EPOCHS in saved if old else saved[STRETCHED] or now[STRETCHED]
    if extend or not stretched:
        keys.discard(EPOCHS)
    return sorted(keys)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
