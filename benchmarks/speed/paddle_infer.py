"""Inference in Paddle Inference with oneDNN, as a user of stock Paddle deploys a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import paddle
from paddle import inference

from .peers import models
from .peers.serve import Job


def preparing(threads: int) -> Callable[..., Job]:
    """The job "infer" with so many threads."""

    def prepare(folder: str, batch: int, forms: Sequence[str] = models.FORMS) -> Job:
        paths = models.forms(folder, "{}/model.json")
        loaders = {form: partial(_load, path, threads) for form, path in paths.items() if form in forms}
        version = f"Paddle {paddle.version.full_version}"
        return models.job(folder, batch, loaders, {"version": version})

    return prepare


def _load(program: Path, threads: int) -> models.Run:
    config = inference.Config(str(program), str(program.with_suffix(".pdiparams")))
    config.disable_gpu()
    config.enable_mkldnn()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(threads)
    predictor = inference.create_predictor(config)
    images = predictor.get_input_handle(predictor.get_input_names()[0])
    logits = predictor.get_output_handle(predictor.get_output_names()[0])

    def run(x: np.ndarray) -> np.ndarray:
        images.reshape(x.shape)
        images.copy_from_cpu(x)
        predictor.run()
        return logits.copy_to_cpu()

    return run
