"""One call: through Python it computes what plain Paddle does or raises ValueError; the op itself never crashes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ppeffconv.ops import loader

from .arguments import changed, make
from .entries import ENTRIES
from .run_programs import run_programs

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # of the largest magnitude
# a valid call may ask for more memory than there is, or plain Paddle for a kernel of a type that it lacks on the CPU
BEYOND = ("ResourceExhausted", "emory", "bad_alloc", "is not registered")


def run(op: str, cases: int, first_seed: int, record: Callable[[str], None] = lambda case: None) -> None:
    """Fuzz an op with ``cases`` calls, half through Python and half of the compiled op where there is one.

    Args:
        record: is told each call before it is made, for the case that it is the process's last.

    Raises:
        AssertionError: a call through Python computed something else, or raised anything but ValueError.
    """
    entry = ENTRIES[op]
    kinds = ("python", "raw") if op in loader.library().ops else ("python",)

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
        valid = data.draw(entry.valid)
        if data.draw(st.sampled_from(kinds)) == "python":
            arguments = data.draw(changed(valid))
            record(f"{op}(**{arguments})")
            _call_python(op, arguments)
        else:
            name, ordered = entry.raw(valid)
            arguments = data.draw(changed({f"{i:02}": value for i, value in enumerate(ordered)}))
            ordered = list(arguments.values())
            ordered = ordered[: len(ordered) - data.draw(st.sampled_from((0, 0, 0, 0, 0, 1, 2)))]
            record(f"loader.call({name!r}, *{ordered})")
            _call_raw(name, ordered)

    fuzz()


def _call_python(op: str, arguments: dict[str, Any]) -> None:
    def call(backend: str) -> tuple[paddle.Tensor, dict[str, paddle.Tensor]]:
        tensors = {name: make(value, i) for i, (name, value) in enumerate(sorted(arguments.items()))}
        return ENTRIES[op].call(**tensors, backend=backend), tensors

    try:
        y, _ = call("auto")
    except ValueError:
        return
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(word in str(error) for word in BEYOND):
            return
        raise
    dtype = str(y.dtype).removeprefix("paddle.")
    if dtype in TOLERANCE:
        got, expected = y.numpy(), call("reference")[0].numpy()
        assert got.shape == expected.shape
        scale = max(np.abs(expected).max(initial=0, where=np.isfinite(expected)), 1.0)
        np.testing.assert_allclose(got / scale, expected / scale, atol=TOLERANCE[dtype])


def _call_raw(name: str, arguments: list[Any]) -> None:
    tensors = [make(value, i) for i, value in enumerate(arguments)]
    for tensor in tensors:
        if isinstance(tensor, paddle.Tensor) and paddle.is_floating_point(tensor):
            tensor.stop_gradient = False
    try:
        outputs = loader.call(name, *tensors)
        for y in outputs:
            y.numpy()
        if not outputs[0].stop_gradient:
            outputs[0].sum().backward()
    except Exception:  # noqa: BLE001  any refusal will do: what is tested is that the process survives
        return


# by op: fuzz it with so many calls from a seed on
FUZZERS: dict[str, Callable[..., None]] = {op: partial(run, op) for op in ENTRIES} | {"deployed": run_programs}
