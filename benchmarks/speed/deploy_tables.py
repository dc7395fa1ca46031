"""The tables of `benchmark.py deploy` in markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from .deploy_rows import (
    BASE,
    BATCHES,
    BFLOAT16,
    DENSE,
    DENSITIES,
    NETWORKS,
    ONNXRUNTIME,
    OPENVINO,
    OPENVINO_DEFAULT,
    PADDLE,
    PLAIN,
    SAMPLED,
    SAMPLED_NAME,
    SAMPLED_SIZE,
    SIZE,
    TORCH,
    growth_shapes,
)
from .layer_kinds import share_of_others
from .noise import BUSY
from .rows import OURS
from .session import Session
from .tables import NOISY, NONE, milliseconds
from .targets import break_even, differs, sampled, samples, time_ratio, times

Entry = Mapping[str, Any]
OTHER_NUMBERS = "≠"
PEERS = (OPENVINO, OPENVINO_DEFAULT, ONNXRUNTIME, TORCH, PADDLE)


def summary(session: Session) -> str:
    """Batch 1 with what must be reached, sampling by density, batch 8."""
    return "\n\n".join(filter(None, (speed_ups(session), _sampling(session), _batch(session))))


def speed_ups(session: Session) -> str:
    """Batch 1: each network's milliseconds, speed-up and what must be reached, beside the peers' milliseconds."""
    head = (
        "| network | fewer MACs | speed-up | must reach | reached | over OpenVINO, float32 | over its default | "
        "not in convolutions | ours, ms | "
    )
    lines = [
        f"{head}{' | '.join(_column(peer) for peer in PEERS)} |",
        "|---|---|---|---|---|---|---|---|---|" + "---|" * len(PEERS),
    ]
    for name, network in NETWORKS.items():
        entry = session["rows"].get(f"{name}_batch1")
        if entry:
            lines.append(_line(network.title, entry, OURS, BASE, network.speed_up))
        if entry and BFLOAT16 in entry["contestants"]:
            lines.append(_line(f"{network.title}, bfloat16", entry, BFLOAT16, BASE, network.bfloat16 or None))
    entry = session["rows"].get(SAMPLED_NAME)
    if entry:
        density = entry["contestants"][OURS]["density"]
        title = f"{SAMPLED.title}, {SAMPLED_SIZE}x{SAMPLED_SIZE}, density {density:.2f}"
        lines.append(_line(f"{title}, over {DENSE}", entry, OURS, DENSE, SAMPLED.speed_up))
        lines.append(_line(f"the same, over {PLAIN}", entry, OURS, PLAIN, None))
    return "\n".join(lines) if len(lines) > 2 else ""


def _line(title: str, entry: Entry, label: str, base: str, required: float | None) -> str:
    facts, contestants = entry["contestants"][label], entry["contestants"]
    speed_up, over, over_default = (_speed_up(entry, against, label) for against in (base, OPENVINO, OPENVINO_DEFAULT))
    if label == BFLOAT16:
        over = None  # another precision than OpenVINO's there
    fewer = f"{contestants[base]['macs'] / facts['macs']:.2f}" if base in contestants else NONE
    layers = facts.get("layers")
    share = f"{100 * share_of_others(layers):.0f} %" if layers else NONE
    peers = " | ".join(_ms(entry, peer) for peer in PEERS) if label == OURS else " | ".join([NONE] * len(PEERS))
    beaten = [over >= 1] if over else []  # OpenVINO, in the same precision
    reached = _verdict(entry, [speed_up >= required, *beaten] if speed_up and required else [])
    return (
        f"| {title} | {fewer} | {_times(speed_up)} | {f'{required:g}x' if required else NONE} | {reached} | "
        f"{_times(over)} | {_times(over_default)} | {share} | {_ms(entry, label)} | {peers} |"
    )


def _times(ratio: float | None) -> str:
    return times(ratio) if ratio else NONE


def _column(peer: str) -> str:
    return f"{peer}{', float32' if peer == OPENVINO else ''}, ms"


def _speed_up(entry: Entry, against: str, of: str = OURS) -> float | None:
    ratio = time_ratio(entry, against, of)
    return None if ratio is None else 1 / ratio


def _verdict(entry: Entry, reached: list[bool]) -> str:
    if not reached:
        return NONE
    if entry["other_cores"] > BUSY:
        return f"unsure {NOISY}"
    return "yes" if all(reached) else "**no**"


def _ms(entry: Entry, label: str) -> str:
    facts = entry["contestants"].get(label)
    if facts is None:
        return NONE
    if "missing" in facts:
        return "fails"
    return milliseconds(statistics.median(samples(entry, label))) + (f" {OTHER_NUMBERS}" if differs(facts) else "")


def _sampling(session: Session) -> str:
    entry = session["rows"].get("sampled_densities")
    if not entry:
        return ""
    lines = [f"| density | ms | over {DENSE} | over {PLAIN} |", "|---|---|---|---|"]
    for label, facts in sampled(entry):
        over = [_speed_up(entry, against, label) for against in (f"density {max(DENSITIES):g}", PLAIN)]
        cells = " | ".join(map(_times, over))
        lines.append(f"| {facts['density']:.2f} | {_ms(entry, label)} | {cells} |")
    meeting = break_even(entry, PLAIN)
    head = f"{SAMPLED.title} at {SAMPLED_SIZE}x{SAMPLED_SIZE}: as fast as {PLAIN} at a density of {meeting:.2f}."
    return head + "\n\n" + "\n".join(lines)


def _batch(session: Session) -> str:
    batch = BATCHES[-1]
    peers = (BASE, OPENVINO, OPENVINO_DEFAULT, ONNXRUNTIME, TORCH)
    lines = [
        f"| network, batch {batch} | speed-up | ours, ms | {' | '.join(map(_column, peers))} |",
        "|---|---|---|" + "---|" * len(peers),
    ]
    for name, network in NETWORKS.items():
        entry = session["rows"].get(f"{name}_batch{batch}")
        if entry:
            speed_up, cells = _speed_up(entry, BASE), " | ".join(_ms(entry, label) for label in (OURS, *peers))
            lines.append(f"| {network.title} | {_times(speed_up)} | {cells} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def growth(session: Session) -> str:
    """Milliseconds of every network by the input's side and by the batch."""
    return "\n\n".join(filter(None, (_grown(session, axis) for axis in ("side", "batch"))))


def _grown(session: Session, axis: str) -> str:
    shapes = [shape for shape in growth_shapes() if (shape.batch == 1 if axis == "side" else shape.side == SIZE)]
    names = [*NETWORKS, SAMPLED_NAME]
    lines = [f"| {axis} | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for shape in shapes:
        entry = session["rows"].get(shape.row)
        if entry:
            lines.append(f"| {getattr(shape, axis)} | {' | '.join(_ms(entry, name) for name in names)} |")
    return "\n".join(lines) if len(lines) > 2 else ""
