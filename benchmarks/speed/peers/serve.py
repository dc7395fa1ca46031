"""A worker's side of the protocol: one job, run when the parent says so; one JSON object a line, both ways.

    {"do": "prepare", "job": NAME, ...arguments}  -> facts about the job
    {"do": "run", "steps": N}                     -> {"ms": [N times]}
    {"do": "memory"}                              -> {"growth_mb": of one step beyond what it returns}
    {"do": "facts"}                               -> facts after the steps, such as the peak memory

The worker ends with its input. A failure is a traceback on stderr and the end of the process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


class Job:
    """What a worker runs: ``step()`` once per measurement; ``facts()`` is asked before the first and after the last."""

    def __init__(self, step: Callable[[], Any], facts: Callable[[], dict[str, Any]] = dict) -> None:
        self.step, self.facts = step, facts


def serve(jobs: Mapping[str, Callable[..., Job]]) -> None:
    """Answer the parent's requests until its end of the pipe closes."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    job = Job(lambda: None)
    for line in sys.stdin:
        request = json.loads(line)
        action = request.pop("do")
        if action == "prepare":
            job = jobs[request.pop("job")](**request)
            answer = job.facts()
        elif action == "run":
            answer = {"ms": [_milliseconds(job.step) for _ in range(request["steps"])]}
        elif action == "memory":
            answer = {"growth_mb": _growth(job.step)}
        else:
            answer = job.facts() | {"peak_mb": _status("VmHWM") / 1e6}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _milliseconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def _growth(step: Callable[[], Any]) -> float:
    """Peak of the resident memory during one step, its result included, above what it was before."""
    forget_peak()
    before = _status("VmRSS")
    result = step()
    growth = _status("VmHWM") - before
    del result
    return growth / 1e6


def forget_peak() -> None:
    """Let the peak memory start anew from what is in use."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # starts VmHWM anew


def _status(name: str) -> int:
    """A size in bytes from the kernel's account of this process."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))
