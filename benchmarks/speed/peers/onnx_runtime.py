"""Inference in onnxruntime, with the shape of the input fixed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from . import models
from .serve import Job

REFUSALS = (states.Fail, states.InvalidGraph, states.NotImplemented, states.InvalidArgument, states.RuntimeException)


def preparing(threads: int) -> Callable[..., Job]:
    """The job "infer" with so many threads."""

    def prepare(folder: str, batch: int) -> Job:
        shape = models.images(folder, batch).shape
        paths = models.forms(folder, "{}.onnx")
        loaders = {form: partial(_load, path, shape, threads) for form, path in paths.items()}
        return models.job(folder, batch, loaders, {"version": f"onnxruntime {onnxruntime.__version__}"})

    return prepare


def _load(path: Path, shape: tuple[int, ...], threads: int) -> models.Run:
    model = onnx.load(path)
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, shape):
        dimension.dim_value = size
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except REFUSALS as reason:
        raise RuntimeError(str(reason)) from reason
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]
