"""ONNX by paddle2onnx, checked in onnxruntime."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import bundle

PACKAGES = ("paddle2onnx==2.1.0", "onnxruntime>=1.23")
OPSET = 17
# Paddle2ONNX ends the process when it meets an op that it does not know, so it gets one of its own. Without a file name
# it returns the model and leaves out the optimiser, for which it would call pip. The value that F.pad pads with it does
# not initialise; our programs pad with zeros, and what should have been another number the comparison finds.
_SCRIPT = """
import sys
import numpy as np, onnx, paddle2onnx
program, parameters, target, opset = sys.argv[1:]
model = onnx.load_from_string(paddle2onnx.export(program, parameters, None, opset_version=int(opset)))
values = {node.input[2] for node in model.graph.node if node.op_type == "Pad" and len(node.input) > 2}
for node in model.graph.node:
    if node.op_type == "Constant" and node.output[0] in values:
        node.attribute[0].t.CopyFrom(onnx.numpy_helper.from_array(np.zeros([], "float32")))
onnx.save(model, target)
"""


def require_onnx() -> None:
    """Raise RuntimeError unless the packages are installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(re.match(r"\w+", name)[0]) is None]
    if missing:
        raise RuntimeError(f"ONNX export needs {' and '.join(missing)}: pip install {' '.join(map(repr, missing))}")


def convert(folder: Path, target: Path) -> None:
    """Convert the saved program in ``folder``, which must hold Paddle's own ops only, to the ONNX file ``target``.

    Raises:
        RuntimeError: Paddle2ONNX cannot convert it; the message has its reasons.
    """
    words = [folder / bundle.PROGRAM, folder / bundle.PARAMETERS, target, OPSET]
    command = [sys.executable, "-W", "ignore", "-c", _SCRIPT, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not target.is_file():
        said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr).splitlines()
        reasons = [line.split("]", 1)[-1].strip(" \t]") for line in said if "ERROR" in line or "Error:" in line]
        raise RuntimeError(
            f"Paddle2ONNX cannot convert this network ({'; '.join(dict.fromkeys(filter(None, reasons))) or said[-1:]})."
            " Some ops convert for one image size only: fixed_size=True"
        )


def runner(path: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    """Return images [N, C, H, W] -> the outputs of the ONNX file at ``path``, computed by onnxruntime.

    Raises:
        RuntimeError: onnxruntime does not accept the file; the returned function: that it cannot run it.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "RuntimeException")
    errors = tuple(getattr(state, kind) for kind in kinds)

    def attempt(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except errors as error:
            raise RuntimeError(f"onnxruntime cannot run what Paddle2ONNX made of this network: {error}") from error

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # only what is fatal: the errors come as exceptions
    session = attempt(onnxruntime.InferenceSession, str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: attempt(session.run, None, {session.get_inputs()[0].name: images})
