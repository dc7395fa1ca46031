"""Tables in markdown from records and milliseconds; a row that is not trained yet says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from ppeffconv.utils.machine import title
from ppeffconv.utils.tables import spread

from .publishing import SEED
from .record import Record
from .rows import BASELINE, ROWS, tag

Records = Mapping[str, Sequence[Record]]
Speed = Mapping[str, Any]

NONE = "–"


@dataclass(frozen=True)
class Words:
    """Of a language: the columns, what stands for rows that are not there, and what the time was measured on."""

    header: tuple[str, ...]
    missing: str
    nothing: str
    seeds: str
    measured: str
    epochs: str
    minutes: str


LANGUAGES = {
    "en": Words(
        (
            "network",
            "parameters, k",
            "M MACs",
            "density",
            "top-1, %",
            "ms, batch 1",
            "ms an image, batch 64",
            "training, min",
        ),
        "not trained yet",
        "None of these networks is trained yet.",
        "seeds",
        "Milliseconds: `ppeffconv.deploy`, float32, {cpu}, {threads} threads, all rows in turns, medians over {rounds} "
        "rounds, in brackets over the dense network's; PaddlePaddle {version}, {date}; others used {other_cores:g} "
        "cores meanwhile.",
        "{} epochs",
        "Minutes of training are those of runs side by side, one core each, with their evaluations and whatever else "
        "the machine had to do: a rough cost, not a comparison of the rows.",
    ),
    "zh": Words(
        (
            "网络",
            "参数量（k）",
            "M MACs",
            "密度",
            "top-1（%）",
            "批大小 1（ms）",
            "批大小 64（每张 ms）",
            "训练（分钟）",
        ),
        "尚未训练",
        "这些网络都尚未训练。",
        "个种子",
        "毫秒：`ppeffconv.deploy`，float32，{cpu}，{threads} 线程，各行轮流计时，取 {rounds} 轮的中位数，"
        "括号内为与稠密网络之比；PaddlePaddle {version}，{date}；其间其他进程占用 {other_cores:g} 个核。",
        "{} 轮",
        "训练分钟数取自并行的任务（每个一核，含评估，机器同时另有负载），只是大致开销，不可用来比较各行。",
    ),
}


def summary(records: Records, speed: Speed, only: Iterable[str] = ROWS, language: str = "en") -> str:
    """A line for each row: mean over its seeds, with the standard deviation where there are several.

    Args:
        only: names of rows, in the order of the table.
        language: one of ``LANGUAGES``.
    """
    words = LANGUAGES[language]
    lines = [f"| {' | '.join(words.header)} |", "|---" * len(words.header) + "|"]
    usual = {run.epochs for run in records.get(BASELINE, ())}
    for name in only:
        cells = [ROWS[name].titled(language)]
        if name in records:
            cells += _figures(records[name], speed["rows"].get(name), words, usual)
        else:
            cells += [words.missing, *[NONE] * (len(words.header) - 2)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(runs: Sequence[Record], times: Mapping[str, Any] | None, words: Words, usual: set[int]) -> list[str]:
    """The cells of a row; where its runs were of another length than the dense network's, its accuracy says so."""
    epochs = {run.epochs for run in runs}
    length = f" ({words.epochs.format(', '.join(map(str, sorted(epochs))))})" if usual and epochs != usual else ""
    densities = [run.density for run in runs if run.density is not None]
    return [
        f"{mean(run.params for run in runs) / 1e3:.1f}",
        f"{mean(run.macs for run in runs) / 1e6:.2f}",
        f"{mean(densities):.2f}" if densities else NONE,
        spread([100 * run.top1 for run in runs], 2, words.seeds) + length,
        _time(times, "1"),
        _time(times, "64"),
        f"{mean(run.seconds for run in runs) / 60:.0f}",
    ]


def _time(times: Mapping[str, Mapping[str, float]] | None, batch: str) -> str:
    if times is None:
        return NONE
    return f"{times[batch]['ms']:.3g} ({times[batch]['of_dense']:.2f}x)"


def measured_on(speed: Speed, language: str = "en") -> str:
    """What the milliseconds were measured on, and what the minutes are; empty if nothing was measured."""
    if not speed["rows"]:
        return ""
    words = LANGUAGES[language]
    return f"{words.measured.format(**speed, cpu=title(speed['machine']))} {words.minutes}"


def runs_table(records: Records) -> str:
    """A line for each run, with its command."""
    lines = ["| run | top-1, % | after each epoch | training, min | command |", "|---|---|---|---|---|"]
    for row in records.values():
        for run in row:
            curve = ", ".join(f"{100 * top1:.1f}" for top1 in run.curve)
            command = run.command.replace(" --resume", "")
            lines.append(f"| {run.name} | {100 * run.top1:.2f} | {curve} | {run.seconds / 60:.0f} | `{command}` |")
    return "\n".join(lines)


def weights_table(records: Records, only: Iterable[str] = ROWS) -> str:
    """How the published weights of each row are got; empty if none of the rows was trained."""
    lines = [
        f"| {ROWS[name].title} | {100 * run.top1:.2f} | "
        f'`ppeffconv.create_model("{run.model}", pretrained="{tag(name)}")` |'
        for name in only
        for run in records.get(name, ())
        if run.seed == SEED
    ]
    return "\n".join(["| network | top-1, % | weights |", "|---|---|---|", *lines]) if lines else ""


def of_method(method: str) -> list[str]:
    """The rows that a method's card shows, the dense network first."""
    return [name for name, row in ROWS.items() if name == BASELINE or row.method == method]
