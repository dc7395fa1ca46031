"""One program: the engine computes what plain Paddle does or raises an error; it never crashes."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from unittest import mock

import numpy as np
import paddle
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ppeffconv.deployed import reference
from ppeffconv.deployed.program import Program
from ppeffconv.ops.deployed import deployed

from .arguments import Spec
from .programs import Case, changed_case, valid_case

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.1}  # of the largest magnitude
_count = itertools.count()


def run_programs(cases: int, first_seed: int, record: Callable[[str], None] = lambda case: None) -> None:
    """Fuzz the engine with ``cases`` programs, a quarter of them valid; otherwise as `run`."""

    @seed(first_seed)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        case = data.draw(valid_case())
        valid = data.draw(st.integers(0, 3)) == 0
        if not valid:
            case = data.draw(changed_case(case))
        record(repr(case))
        check(case, valid)

    fuzz()


def check(case: Case, valid: bool = False) -> None:
    """Run a case by the engine and, unless that refuses it, by the reference."""
    x, weights = case.x.make(0), [_weight(spec, i) for i, spec in enumerate(case.weights, start=1)]
    try:
        got = [y.numpy() for y in deployed(x, weights, case.text, f"fuzz {next(_count)}")]
    except (OSError, RuntimeError, ValueError, MemoryError):
        if valid:
            raise
        return
    expected = _reference(case.text, x, weights, valid)
    if expected is not None:
        _compare(got, expected, "bfloat16" if " bfloat16 " in case.text else "float32")


def _weight(spec: Spec, number: int) -> paddle.Tensor:
    """Smaller as more products are summed, so that maps stay of one magnitude."""
    weight = spec.make(number)
    summed = math.prod(spec.shape[1:])
    return (weight / summed**0.5).astype(spec.dtype) if len(spec.shape) == 4 and summed else weight


def _reference(text: str, x: paddle.Tensor, weights: list[paddle.Tensor], valid: bool) -> list[np.ndarray] | None:
    """Outputs and densities; None of a program that the engine takes but the reference does not."""
    try:
        program = Program.parse(text, [w.numpy() for w in weights])
        with mock.patch.dict(os.environ, PPEFFCONV_OPS="reference"):
            outputs, densities = reference.run(program, x, weights)
    except Exception:
        if valid:
            raise
        return None
    kept = [np.nan_to_num([float(d) for d in densities])] if densities else []  # of no images: 0 / 0
    return [y.numpy() for y in outputs] + kept


def _compare(got: list[np.ndarray], expected: list[np.ndarray], dtype: str) -> None:
    assert [y.shape for y in got] == [y.shape for y in expected]
    sampled = len(got) > 1 and got[-1].ndim == 1
    if sampled and np.abs(got[-1] - expected[-1]).max(initial=0) > 1e-6:
        return  # a logit near the threshold fell on its other side
    for y, exact in zip(got, expected):
        scale = max(np.abs(exact).max(initial=0, where=np.isfinite(exact)), 1.0)
        np.testing.assert_allclose(y / scale, exact / scale, rtol=0, atol=TOLERANCE[dtype])
