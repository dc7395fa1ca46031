"""Inference in OpenVINO, for latency, with the shape of the input fixed, which makes it faster by a third."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import openvino

from . import models
from .serve import Job

DTYPES = {openvino.Type.f32: "float32", openvino.Type.bf16: "bfloat16", openvino.Type.f16: "float16"}


def preparing(threads: int) -> Callable[..., Job]:
    """The job "infer" with so many threads; in float32, or in the precision that OpenVINO chooses for this CPU."""

    def prepare(folder: str, batch: int, default_precision: bool = False) -> Job:
        core, shape = openvino.Core(), models.images(folder, batch).shape
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        if not default_precision:
            settings["INFERENCE_PRECISION_HINT"] = openvino.Type.f32
        chosen = settings.get("INFERENCE_PRECISION_HINT", core.get_property("CPU", "INFERENCE_PRECISION_HINT"))

        def load(path: Path) -> models.Run:
            model = core.read_model(path)
            model.reshape(list(shape))
            request = core.compile_model(model, "CPU", settings).create_infer_request()
            return lambda x: request.infer([x])[0]

        loaders = {form: partial(load, path) for form, path in models.forms(folder, "{}.onnx").items()}
        version = f"OpenVINO {openvino.__version__.split('-')[0]}"
        if default_precision:
            version += f" (its default here: {DTYPES[chosen]})"
        return models.job(folder, batch, loaders, {"version": version, "dtype": DTYPES[chosen]})

    return prepare
