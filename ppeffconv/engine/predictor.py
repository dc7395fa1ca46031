"""Inference with an exported network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from paddle import inference

PROGRAM = ".json"
PARAMETERS = ".pdiparams"
INFO = ".yaml"


class Predictor:
    """Runs what ``export`` saved, on CPU, with Paddle Inference.

    oneDNN is off. Paddle 3.3.1 would turn it on, but then cannot run nearest interpolation (octave networks) and hands
    custom ops tensors in a layout they do not know. ``paddle.jit.load`` would work as well; it has no thread count.

    Args:
        path: as given to ``export``, without a suffix.
        threads: of the math library; default: Paddle's choice.

    Attributes:
        info: what was exported along: ``input_shape`` (C, H, W), and perhaps transforms and class names.

    Raises:
        FileNotFoundError: there is no exported network.
        ValueError: ``threads`` is less than 1.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        missing = [f"{path}{suffix}" for suffix in (PROGRAM, PARAMETERS, INFO) if not Path(f"{path}{suffix}").is_file()]
        if missing:
            raise FileNotFoundError(
                f"no exported network at {path}: {missing[0]} is missing (tools/export.py makes it)"
            )
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be >= 1, got {threads}")
        self.info: dict[str, Any] = yaml.safe_load(Path(f"{path}{INFO}").read_text(encoding="utf-8"))
        config = inference.Config(f"{path}{PROGRAM}", f"{path}{PARAMETERS}")
        config.disable_gpu()
        config.disable_mkldnn()
        config.disable_glog_info()
        if threads is not None:
            config.set_cpu_math_library_num_threads(threads)
        self._predictor = inference.create_predictor(config)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def run(self, images: np.ndarray) -> np.ndarray:
        """Return the network's output for ``images``, float32 [N, C, H, W]; ValueError if they do not fit."""
        shape = tuple(self.info["input_shape"])
        if not isinstance(images, np.ndarray) or images.dtype != np.float32 or images.shape[1:] != shape:
            got = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
            raise ValueError(f"expected a float32 array [N, {', '.join(map(str, shape))}], got {got}")
        if len(images) == 0:
            raise ValueError("expected at least one image, got an empty batch")
        self._input.reshape(images.shape)
        self._input.copy_from_cpu(np.ascontiguousarray(images))
        self._predictor.run()
        return self._output.copy_to_cpu()
