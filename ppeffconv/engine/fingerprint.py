"""What a run and its checkpoint must agree on for the run to be continued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

BLOCKS = ("Arch", "Loss", "Optimizer", "Sampling", "EMA", "AMP", "DataLoader")
MISSING = "not set"


def fingerprint(cfg: Mapping[str, Any], processes: int, samples: bool) -> dict[str, Any]:
    """Return what shapes the course of a run, as dotted key -> value.

    ``Global.epochs`` is part of it if the learning rate (Cosine) or the temperature of a network that samples is
    stretched over all epochs: with another number, the steps already done would have been others. Under Step and
    Constant a run may be resumed with more epochs. ``num_workers`` changes nothing and is left out.

    Args:
        cfg: the configuration.
        processes: over how many the batches are shared.
        samples: whether the network has a temperature.
    """
    facts = dict(_flatten({name: cfg[name] for name in BLOCKS}))
    facts = {key: value for key, value in facts.items() if not key.endswith(".num_workers")}
    facts |= {"Global.seed": cfg["Global"]["seed"], "processes": processes}
    if samples or cfg["Optimizer"]["schedule"]["name"] == "Cosine":
        facts["Global.epochs"] = cfg["Global"]["epochs"]
    return facts


def check_fingerprint(saved: Mapping[str, Any], now: Mapping[str, Any], source: str) -> None:
    """Raise ValueError that names every key in which the checkpoint ``source`` and the configuration disagree."""
    differing = [key for key in sorted({*saved, *now}) if saved.get(key, MISSING) != now.get(key, MISSING)]
    if not differing:
        return
    lines = [f"{key}: checkpoint {saved.get(key, MISSING)!r}, now {now.get(key, MISSING)!r}" for key in differing]
    raise ValueError(
        f"cannot resume {source}, because the configuration is not the one it was trained with. {'; '.join(lines)}. "
        "Set them back, or start a new run from its weights with -o Global.pretrained_model=..."
    )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
