"""What a run's configuration may hold: every key, its type, its default and its bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

REQUIRED = object()  # a key without a default


@dataclass(frozen=True)
class Rule:
    """A bound on a value: what it must be, in words, and the test for it; the values, where they can be listed."""

    text: str
    holds: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """One value.

    Attributes:
        kind: its type, or several.
        default: ``None`` is allowed as a value where it is the default.
        rule: a bound.
        item: the type of a list's elements.
        path: whether a text is a place on the disk, in which ``~`` is the home folder.
    """

    kind: type | tuple[type, ...]
    default: Any = REQUIRED
    rule: Rule | None = None
    item: type | tuple[type, ...] | None = None
    path: bool = False


@dataclass(frozen=True)
class Block:
    """A mapping.

    Attributes:
        fields: its keys, which are always there once the configuration is read.
        optional: keys that are only there if they are given.
        extra: describes all further keys; without it they are errors.
    """

    fields: dict[str, Field | Block] = field(default_factory=dict)
    optional: dict[str, Field] = field(default_factory=dict)
    extra: Field | None = None

    def entry(self, key: Any) -> Field | Block | None:
        """Return what ``key`` may hold, or None if there is no such key."""
        if not isinstance(key, str):
            return None
        return self.fields.get(key) or self.optional.get(key, self.extra)


def _one_of(*names: str) -> Rule:
    return Rule(f"one of {', '.join(names)}", lambda value: value in names, names)


POSITIVE = Rule("> 0", lambda v: v > 0)
NOT_NEGATIVE = Rule(">= 0", lambda v: v >= 0)
FRACTION = Rule(">= 0 and < 1", lambda v: 0 <= v < 1)
DECAY = Rule("> 0 and < 1", lambda v: 0 < v < 1)
DEVICE = Rule("auto, cpu, gpu or gpu:N", lambda v: re.fullmatch(r"auto|cpu|gpu(:\d+)?", v) is not None)
RUN_NAME = Rule("a plain folder name", lambda v: v not in ("", ".", "..") and not re.search(r"[/\\]", v))
COUNTS = Rule("a list of whole numbers > 0", lambda v: len(v) > 0 and min(v) > 0)
EPOCHS = Rule("a rising list of epochs > 0", lambda v: all(a < b for a, b in zip([0, *v], v, strict=False)))
NAMES = Rule("a list of different names", lambda v: isinstance(v, str) or len({*v, ""}) == len(v) + 1)
MODULES = Rule("a list of Python modules", lambda v: all(part.isidentifier() for name in v for part in name.split(".")))
IMAGE_SHAPE = Rule("three whole numbers > 0: channels, height, width", lambda v: len(v) == 3 and min(v) > 0)

ANYTHING = Field(object, None)


def _loader(batch_size: int, **more: Field) -> Block:
    return Block(
        {
            "dataset": Block(
                {"name": Field(str)},
                optional={
                    "root": Field(str, path=True),
                    "list_file": Field(str, None, path=True),
                    "class_names": Field((list, str), None, NAMES, item=str, path=True),
                },
                extra=ANYTHING,
            ),
            "transforms": Field(list, item=(str, dict)),
            "batch_size": Field(int, batch_size, POSITIVE),
            "num_workers": Field(int, 0, NOT_NEGATIVE),
            **more,
        }
    )


SCHEMA = Block(
    {
        "Global": Block(
            {
                "name": Field(str, None, RUN_NAME),
                "output_dir": Field(str, "output", path=True),
                "device": Field(str, "auto", DEVICE),
                "seed": Field(int, 42, NOT_NEGATIVE),
                "task": Field(str, "classification", _one_of("classification", "depth_upsampling")),
                "epochs": Field(int, rule=POSITIVE),
                "eval_interval": Field(int, 1, POSITIVE),
                "save_interval": Field(int, 0, NOT_NEGATIVE),
                "log_interval": Field(int, 10, POSITIVE),
                "use_visualdl": Field(bool, True),
                "pretrained_model": Field(str, None, path=True),
                "custom_imports": Field(list, [], MODULES, item=str),
            }
        ),
        "Arch": Block(
            {
                "name": Field(str),
                "num_classes": Field(int, 1000, POSITIVE),
                "pretrained": Field((bool, str), False, path=True),
            },
            extra=ANYTHING,
        ),
        "Loss": Block(
            {
                "label_smoothing": Field(float, 0.0, FRACTION),
                "auxiliary": Block(extra=Field(float, rule=NOT_NEGATIVE)),
            }
        ),
        "Optimizer": Block(
            {
                "name": Field(str, "Momentum", _one_of("SGD", "Momentum", "Adam", "AdamW")),
                "lr": Field(float, 0.1, POSITIVE),
                "momentum": Field(float, 0.9, FRACTION),
                "nesterov": Field(bool, False),
                "weight_decay": Field(float, 1e-4, NOT_NEGATIVE),
                "decay_norm_and_bias": Field(bool, True),
                "grad_clip": Field(float, None, POSITIVE),
                "schedule": Block(
                    {
                        "name": Field(str, "Cosine", _one_of("Constant", "Step", "Cosine")),
                        "warmup_epochs": Field(int, 0, NOT_NEGATIVE),
                        "min_lr": Field(float, 0.0, NOT_NEGATIVE),
                        "milestones": Field(list, [], EPOCHS, item=int),
                        "gamma": Field(float, 0.1, POSITIVE),
                    }
                ),
            }
        ),
        "Sampling": Block(
            {
                "start_temperature": Field(float, 1.0, POSITIVE),
                "end_temperature": Field(float, 0.03, POSITIVE),
            }
        ),
        "EMA": Block({"decay": Field(float, None, DECAY)}),
        "AMP": Block(
            {
                "enable": Field(bool, False),
                "level": Field(str, "O1", _one_of("O1")),
                "init_loss_scaling": Field(float, 1024.0, POSITIVE),
            }
        ),
        "DataLoader": Block(
            {
                "Train": _loader(64, drop_last=Field(bool, False)),
                "Eval": _loader(256),
            }
        ),
        "Metric": Block({"topk": Field(list, [1, 5], COUNTS, item=int)}),
        "Infer": Block({"topk": Field(int, 5, POSITIVE)}),
        "Export": Block({"input_shape": Field(list, None, IMAGE_SHAPE, item=int)}),
    }
)
