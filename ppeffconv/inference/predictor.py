"""Inference with an exported network."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import inference

from ..deployed.program import VERSION
from ..ops import deployed, loader
from ..utils import cores
from ..utils.messages import brief
from ..utils.numbers import is_size
from ..utils.runtime import restore_threads
from . import bundle

MOST_THREADS = 1024  # each has memory of its own


class Predictor:
    """Runs the folder that ``export`` made, on CPU, with Paddle Inference.

    Every file is checked against the manifest first. Threads of a program take one predictor each: predictors share
    nothing. Calls of one predictor wait for each other.

    Args:
        path: the folder.
        threads: in which one call computes; default: ``OMP_NUM_THREADS``, else one for each core that this process may
            use, by its affinity and its quota of CPU time.

    Attributes:
        info: the manifest: ``input_shape`` (C, H, W), ``dtype``, ``report``, ``accuracy``, versions and checksums, and
            perhaps ``transforms``, ``image_mode`` and ``class_names``.
        densities: share of positions that each sampling mask kept in the last run, by layer name; {} for a network
            that does not sample.

    Raises:
        FileNotFoundError: there is no exported network, or a file of it is missing.
        RuntimeError: the folder is of another version, a file was changed, or the compiled kernels are needed and not
            there.
        ValueError: ``threads`` is no integer from 1 to 1024, or ``path`` is no path.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        if threads is not None and not (is_size(threads) and threads <= MOST_THREADS):
            raise ValueError(
                f"threads must be an integer >= 1 and <= {MOST_THREADS}, or None for one on each core; got {threads!r}"
            )
        path = bundle.as_path(path)
        self.info: dict[str, Any] = bundle.read(path)
        _check_versions(self.info, path)
        if self.info["engine"]:
            require_engine(f"the exported network at {path}")
        self.densities: dict[str, float] = {}
        config = inference.Config(*(str(path / name) for name in (bundle.PROGRAM, bundle.PARAMETERS)))
        config.disable_gpu()
        # oneDNN, which Paddle 3.3.1 would turn on, hands custom ops tensors in layouts that they do not know, and fails
        # at nearest interpolation
        config.disable_mkldnn()
        # of two outputs that are computed alike it drops one
        config.delete_pass("common_subexpression_elimination_pass")
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads or cores.threads())
        self._predictor = inference.create_predictor(config)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._outputs = [self._predictor.get_output_handle(n) for n in self._predictor.get_output_names()]
        self._lock = threading.Lock()
        for uid in self.info["programs"]:
            deployed.hold(self, uid)

    def run(self, images: np.ndarray) -> Any:
        """Return what the network returns for ``images``, float32 [N, C, H, W]: an array, or a list of them.

        Of nested outputs lists stand for tuples; dicts and None stay what they are.

        N, and unless ``info["fixed_size"]`` H and W, may be others in each call.

        Raises:
            ValueError: the images do not fit, or hold NaN or infinity.
            RuntimeError: the network cannot run on images of this size, or its output is not a number.
        """
        self._check(images)
        with self._lock:
            self._input.reshape(images.shape)
            self._input.copy_from_cpu(np.ascontiguousarray(images))
            try:
                self._predictor.run()
            except (RuntimeError, OSError, ValueError) as error:
                raise RuntimeError(self._failure(images, brief(error))) from error
            finally:  # Paddle Inference leaves a single thread to what this process runs next
                restore_threads()
            outputs = [handle.copy_to_cpu() for handle in self._outputs]
            if any(np.isnan(array).any() for array in outputs):
                raise RuntimeError(self._failure(images, "its output is NaN"))
            if self.info["masks"]:
                self.densities = dict(zip(self.info["masks"], map(float, outputs.pop())))
        return bundle.as_returned(self.info["returns"], outputs)

    def _failure(self, images: np.ndarray, reason: str) -> str:
        return (
            f"the exported network failed on images {list(images.shape)} ({reason}); "
            f"it was tested with {self.info['input_shape']}"
        )

    def _check(self, images: np.ndarray) -> None:
        channels, *size = self.info["input_shape"]
        wanted = [channels, *size] if self.info["fixed_size"] else [channels, "H", "W"]
        fits = isinstance(images, np.ndarray) and images.dtype == np.float32 and images.ndim == 4
        if not fits or any(isinstance(n, int) and n != got for n, got in zip(wanted, images.shape[1:])):
            raise ValueError(f"expected a float32 array [N, {', '.join(map(str, wanted))}], got {_told(images)}")
        if len(images) == 0:
            raise ValueError("expected at least one image, got an empty batch")
        height, width = self.info["smallest_size"]
        if images.shape[2] < height or images.shape[3] < width:
            raise ValueError(f"expected images of at least {height}x{width}, got {images.shape[2]}x{images.shape[3]}")
        if not np.isfinite(images).all():
            raise ValueError("the images hold NaN or infinity, and ReLU would hide it in the result")


def _told(images: Any) -> str:
    """What somebody gave in place of an array in float32, and how it becomes one."""
    if isinstance(images, paddle.Tensor):
        return "a tensor of Paddle: images.numpy() makes an array of it"
    if not isinstance(images, np.ndarray):
        return type(images).__name__
    told = f"{images.dtype} {list(images.shape)}"
    return told if images.dtype == np.float32 else f"{told}: convert with images.astype('float32')"


def missing_engine() -> str:
    """Why the compiled engine cannot be used here, and what to do; empty if it can be used."""
    if loader.mode() == "reference":
        return "PPEFFCONV_OPS=reference switches it off"
    library = loader.library()
    if "deployed" in library.ops:
        return ""
    reason = library.reason or f"{library.path} lacks it"
    return reason if loader.HINT in reason else f"{reason}; {loader.HINT}"


def require_engine(what: str) -> None:
    """Raise RuntimeError unless the compiled engine can be used; ``what`` needs it."""
    if reason := missing_engine():
        raise RuntimeError(
            f"{what} needs the compiled engine, which is not here: {reason}. The stock export (export(..., "
            "deploy=False), tools/export.py --stock) does without it"
        )


def _check_versions(info: dict[str, Any], path: Path) -> None:
    """RuntimeError if another Paddle made the folder, or another version of our engine's programs is in it."""
    made, here = info["versions"]["paddle"], paddle.__version__
    if made.split(".")[:2] != here.split(".")[:2]:
        raise RuntimeError(f"{path} was exported with Paddle {made}, here is {here}: export it again, or install that")
    if info["engine"] and info["versions"]["program"] != VERSION:
        raise RuntimeError(
            f"{path} holds a deployed program of version {info['versions']['program']}, this ppeffconv runs version "
            f"{VERSION}: export the network again"
        )
