"""Inference in PyTorch: eager, NCHW or channels last, whichever is faster."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import models
from .networks import create_model
from .serve import Job

LAYOUTS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}


def prepare(folder: str, batch: int, network: str, options: dict[str, Any]) -> Job:
    """Our network's weights in PyTorch's network."""
    weights = np.load(Path(folder, "weights.npz"))
    state = {name: torch.from_numpy(weights[name]) for name in weights.files}

    def load(layout: torch.memory_format) -> models.Run:
        net = create_model(network, 1000, **options).eval()
        net.load_state_dict(state, strict=False)  # without the counters of batches
        net.to(memory_format=layout)

        @torch.inference_mode()
        def run(x: np.ndarray) -> np.ndarray:
            return net(torch.from_numpy(x).to(memory_format=layout)).numpy()

        return run

    loaders = {name: partial(load, layout) for name, layout in LAYOUTS.items()}
    return models.job(folder, batch, loaders, {"version": f"PyTorch {torch.__version__}"})
