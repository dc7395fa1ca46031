"""Which type of the feature maps is the faster one: measured once on a machine, and kept in the cache."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import numpy as np
import paddle

from ..ops import loader
from ..ops.backend import choose_backend
from ..utils.download import home
from ..utils.files import replacing
from ..utils.logger import get_logger
from ..utils.machine import describe
from ..utils.runtime import threads
from .builder import Builder
from .fold import Tail
from .layer import Deployed
from .program import DTYPES
from .trial import race

AUTO = "auto"
WORTH = 1.1  # how many times as fast bfloat16 must be to be worth its eight bits
FILE = "precision.json"


def choose(dtype: str, backend: str, what: str) -> str:
    """The type that ``dtype`` means: "auto" is bfloat16 where that is faster on this machine, else float32.

    Asked for by name, bfloat16 is taken where it is slower too, with a warning, once a process.

    Args:
        backend: as of `Deployed`; plain Paddle has nothing to gain by bfloat16.
        what: who asks, for the error.

    Raises:
        ValueError: it is none of them.
    """
    if dtype not in (*DTYPES, AUTO):
        raise ValueError(f"{what}: dtype must be one of {', '.join((*DTYPES, AUTO))}, got {dtype!r}")
    if dtype == "float32" or not _has_engine(backend):
        return "float32" if dtype == AUTO else dtype
    gain = bfloat16_gain()
    if dtype == "bfloat16" and gain < 1:
        _warn(gain)
    return dtype if dtype != AUTO else "bfloat16" if gain >= WORTH else "float32"


def bfloat16_gain() -> float:
    """How many times as fast as in float32 the engine is in bfloat16 on this machine, with the present threads.

    Measured on a few blocks of a ResNet when it is first asked for, and read from ``precision.json`` in the cache
    (``$PPEFFCONV_HOME``, else ``~/.cache/ppeffconv``) from then on.
    """
    return _gain(str(home() / FILE), f"{describe()['cpu']}, {threads()} threads, {loader.library().path.name}")


@functools.cache
def _gain(path: str, key: str) -> float:
    known = _read(Path(path))
    if key not in known:
        known[key] = round(_measure(), 3)
        try:
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            get_logger().info(f"cannot keep which precision is faster: {path}: {error.strerror}")
    return known[key]


def _read(path: Path) -> dict[str, float]:
    """What was measured before; nothing if the file is damaged."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    items = known.items() if isinstance(known, dict) else ()
    return {key: gain for key, gain in items if isinstance(gain, float) and 0 < gain < math.inf}


def _measure() -> float:
    """Milliseconds in float32 over those in bfloat16."""
    x = paddle.to_tensor(np.random.default_rng(0).standard_normal((1, 256, 28, 28)).astype("float32"))
    nets = [Deployed(_blocks(dtype), "cpu") for dtype in ("float32", "bfloat16")]
    with paddle.no_grad():
        for net in nets:
            net(x)
        float32, bfloat16 = race(*(lambda net=net: net(x) for net in nets), rounds=20)
    return float32 / bfloat16


def _blocks(dtype: str):
    """Four bottlenecks of a ResNet-50, two at 28x28 and, behind a stride, two at 14x14."""
    numbers, builder = np.random.default_rng(0), Builder(256)
    x = builder.input
    for width, stride in ((64, 1), (64, 2), (128, 1), (128, 1)):
        y, shortcut = x, x if stride == 1 else None
        for out, kernel, step, add in ((width, 1, 1, None), (width, 3, stride, None), (256, 1, 1, shortcut)):
            weight = numbers.standard_normal((out, y.channels, kernel, kernel)) * (2 / (y.channels * kernel**2)) ** 0.5
            place = {"stride": (step, step), "padding": (kernel // 2, kernel // 2)}
            y = builder.conv(y, weight, **place, tail=Tail(add=add, act="relu"))
        x = y
    return builder.program([x], dtype, 0)


def _has_engine(backend: str) -> bool:
    kinds = "deployed" in loader.library().ops
    return kinds and choose_backend("deployed", backend, paddle.zeros([1])) == "cpu"


@functools.cache
def _warn(gain: float) -> None:
    get_logger().warning(
        f"bfloat16 takes {1 / gain:.2f} times as long as float32 here ({describe()['cpu']}, {threads()} threads): "
        "dtype='auto' takes the faster one"
    )
