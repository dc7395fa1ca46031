"""The worker that runs Paddle, ours or as installed: ``python -m benchmarks.speed.paddle_worker ENGINE THREADS``."""

from __future__ import annotations

import sys
from typing import Any

import paddle

from ppeffconv.utils import runtime

from .peers.serve import Job, serve


def main(engine: str, threads: int) -> None:
    """Serve the jobs of one engine."""
    paddle.seed(0)
    if engine == "paddle":
        from . import paddle_infer

        serve({"infer": paddle_infer.preparing(threads)})
        return
    from . import machine, paddle_models, paddle_ops, paddle_train

    if engine == "ours":
        runtime.tune()
        runtime.set_threads(threads)
    networks = {"models": _save, "deployed": paddle_models.run}
    serve({"train": paddle_train.prepare, **paddle_ops.JOBS, **networks, "limits": machine.measure_limits})


def _save(**arguments: Any) -> Job:
    from .model_files import save  # here, because what it needs would count as memory of every other job

    return save(**arguments)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
