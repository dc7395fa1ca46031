"""The worker that runs PyTorch: ``python -m torch_peer THREADS``, in PyTorch's environment."""

from __future__ import annotations

import sys

import torch

from . import ops, train
from .serve import serve

if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    serve({"train": train.prepare, **ops.JOBS})
