"""The figure of speed-ups, and that of the time by layer."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppeffconv.utils.figures import BLACK, BLUE, DARK, GREY, LIGHT, ORANGE, PURPLE, SKY, VERMILION, sheet
from ppeffconv.utils.machine import conditions

from .deploy_rows import (
    BASE,
    BFLOAT16,
    NETWORKS,
    ONNXRUNTIME,
    OPENVINO,
    OPENVINO_DEFAULT,
    PLAIN,
    SAMPLED,
    SAMPLED_DENSITY,
    SAMPLED_NAME,
    SAMPLED_SIZE,
    SIZE,
    TORCH,
)
from .layer_kinds import KINDS, share_of_others
from .rows import OURS
from .session import Session
from .targets import samples, time_ratio

Entry = Mapping[str, Any]
# label: (name, how it is marked, colour)
ENGINES = {
    OURS: ("ours, float32", "o", BLUE),
    BFLOAT16: ("ours, bfloat16", "D", SKY),
    OPENVINO: ("OpenVINO, float32", "s", VERMILION),
    OPENVINO_DEFAULT: ("OpenVINO, its default", "*", VERMILION),
    ONNXRUNTIME: ("onnxruntime, float32", "^", ORANGE),
    TORCH: ("PyTorch, float32", "v", PURPLE),
}
KIND_COLOURS = dict(zip(KINDS, (BLUE, SKY, PURPLE, VERMILION, ORANGE, LIGHT)))


def draw_deploy(session: Session, file: Path) -> dict[str, str]:
    """Draw what the session in ``file`` has rows for, beside it; returns names and captions."""
    drawn = {}
    speed_up, by_layer = (file.with_name(f"{file.stem}_{name}.png") for name in ("speedup", "layers"))
    firsts = {name: entry for name in NETWORKS if (entry := session["rows"].get(f"{name}_batch1"))}
    if firsts:
        _draw_speed_up(session, firsts, speed_up)
        drawn[speed_up.name] = "Speed-up over ResNet-50 in Paddle Inference against multiply-adds saved, batch 1"
    sampled = session["rows"].get(SAMPLED_NAME)
    bars = [(NETWORKS[name].title, layers) for name, entry in firsts.items() if (layers := _layers(entry, OURS))]
    large = [(title, _layers(sampled, label)) for title, label in _LARGE.items()] if sampled else []
    large = [(title, layers) for title, layers in large if layers]
    if bars:
        _draw_layers(session, bars, large, by_layer)
        drawn[by_layer.name] = "Time by kind of layer, ours, batch 1"
    return drawn


_LARGE = {"resnet50": PLAIN, SAMPLED.title: OURS}


def _layers(entry: Entry, label: str) -> Mapping[str, float] | None:
    return entry["contestants"].get(label, {}).get("layers")


def _draw_speed_up(session: Session, entries: Mapping[str, Entry], path: Path) -> None:
    with sheet(path, figsize=(8, 5), footnote=conditions(session)) as axes:
        for label, (engine, marker, colour) in ENGINES.items():
            points = [(_fewer(entry), _speed_up(entry, label)) for entry in entries.values()]
            known = [(x, y) for x, y in points if y]
            if known:
                style = {"facecolor": colour} if label in (OURS, BFLOAT16) else {"facecolor": "none", "linewidth": 1.3}
                axes.scatter(*zip(*known), s=46, marker=marker, edgecolor=colour, label=engine, zorder=3, **style)
        for name, entry in entries.items():
            x, target = _fewer(entry), NETWORKS[name].speed_up
            axes.plot([x - 0.03, x + 0.03], [target] * 2, color=BLACK, linewidth=2, zorder=2)
            axes.axvline(x, color="#EFEFEF", linewidth=1, zorder=0)
        _name_above(axes, {name: _fewer(entry) for name, entry in entries.items()})
        axes.plot([], [], color=BLACK, linewidth=2, label="must be reached")
        ends = [1, max(map(_fewer, entries.values()))]
        axes.plot(ends, ends, color=GREY, linewidth=1, linestyle=(0, (5, 4)), label="ideal: as many times", zorder=1)
        axes.set_xlabel("times fewer multiply-adds than ResNet-50")
        axes.set_ylabel("times faster than ResNet-50\nin Paddle Inference with oneDNN, float32")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        axes.grid(axis="y")


def _name_above(axes: Any, places: Mapping[str, float]) -> None:
    """Names over their vertical lines; those that lie close are moved apart."""
    transform, gap = axes.get_xaxis_transform(), 0.045 * (max(places.values()) - min(places.values()) + 0.2)
    end = -1.0
    for name, x in sorted(places.items(), key=lambda item: item[1]):
        end = max(x, end + gap)
        axes.plot([x, end], [1, 1.05], color=LIGHT, linewidth=1, transform=transform, clip_on=False)
        style = {"rotation": 45, "rotation_mode": "anchor", "fontsize": 9, "color": DARK, "va": "center"}
        axes.text(end, 1.065, _short(name), transform=transform, **style)


def _short(name: str) -> str:
    return NETWORKS[name].title.replace("_resnet50", "").replace("resnet50", "dense")


def _fewer(entry: Entry) -> float:
    return entry["contestants"][BASE]["macs"] / entry["contestants"][OURS]["macs"]


def _speed_up(entry: Entry, label: str) -> float | None:
    ratio = time_ratio(entry, BASE, label)
    return None if ratio is None else 1 / ratio


def _draw_layers(session: Session, bars: list, large: list, path: Path) -> None:
    groups = [group for group in (bars, large) if group]
    heights = [len(group) for group in groups]
    figure = {"figsize": (8, 1.4 + 0.36 * sum(heights)), "footnote": conditions(session)}
    with sheet(path, **figure, nrows=len(groups), squeeze=False, height_ratios=heights) as axes:
        for (place,), group, size in zip(axes, groups, (SIZE, SAMPLED_SIZE)):
            _stack(place, group)
            place.set_title(f"{size}x{size}, batch 1" + (_AT if size == SAMPLED_SIZE else ""), fontsize=9, color=DARK)
        handles, labels = axes[0][0].get_legend_handles_labels()
        axes[0][0].figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=9)
        axes[-1][0].set_xlabel("milliseconds; at the end of each bar its sum and the share that is not in convolutions")


_AT = f", density {SAMPLED_DENSITY:g}"


def _stack(axes: Any, group: list) -> None:
    left = [0.0] * len(group)
    rows = range(len(group))
    for kind, colour in KIND_COLOURS.items():
        widths = [layers[kind] for _, layers in group]
        axes.barh(rows, widths, left=left, color=colour, label=kind, height=0.72, edgecolor="white", linewidth=0.6)
        left = [a + b for a, b in zip(left, widths)]
    for row, ((_, layers), end) in enumerate(zip(group, left)):
        axes.text(
            end, row, f"  {end:.1f} ms, {100 * share_of_others(layers):.0f} %", va="center", fontsize=9, color=DARK
        )
    axes.set_yticks(rows, [title for title, _ in group])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.16 * max(left))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def median(entry: Entry, label: str) -> float:
    """Milliseconds of a contestant."""
    return statistics.median(samples(entry, label))
