"""The worker that runs Paddle, ours or as installed: ``python -m ppeffconv.benchmark.paddle_worker ENGINE THREADS``."""

from __future__ import annotations

import sys

import paddle

from ..utils import runtime
from . import machine, paddle_ops, paddle_train
from .torch_peer.serve import serve

if __name__ == "__main__":
    engine, threads = sys.argv[1], int(sys.argv[2])
    paddle.seed(0)
    if engine == "ours":
        runtime.tune()
        runtime.set_threads(threads)
    serve({"train": paddle_train.prepare, **paddle_ops.JOBS, "limits": machine.measure_limits})
