"""The peers' own environment, made once; Paddle and PyTorch in one would fight over OpenMP and numpy."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from ppeffconv.utils.download import home
from ppeffconv.utils.logger import get_logger

VERSIONS = {"torch": "2.13.0", "openvino": "2026.4.1", "onnxruntime": "1.32.0", "onnx": "1.23.2"}
REQUIREMENTS = (*(f"{name}=={version}" for name, version in VERSIONS.items()), "numpy")
_IMPORTS = f"import numpy, {', '.join(VERSIONS)}"
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
# the converter, and what it needs that Paddle's environment may lack
CONVERTER = ("paddle2onnx==2.1.0", "onnx==1.17.0", "onnxoptimizer==0.3.13", "polygraphy==0.53.6", "packaging")


def folder() -> Path:
    """Where the environment lies: ``$PPEFFCONV_HOME``, else ``~/.cache/ppeffconv``, / a name with the versions."""
    return home() / ("benchmark-" + "-".join(VERSIONS.values()))


def find_python() -> Path | None:
    """The environment's interpreter, None unless the environment is complete."""
    return folder() / "bin" / "python" if _stamp().is_file() else None


def peer_python(path: str | Path | None = None) -> Path:
    """Return an interpreter that has the peers: ``path``, else that of the environment, which is made if need be.

    Raises:
        FileNotFoundError: there is no interpreter at ``path``.
        ValueError: it cannot import a peer.
        RuntimeError: the environment cannot be made.
    """
    if path is not None:
        return _checked(Path(path))
    folder().parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder()}.lock"):
        if find_python() is None:
            _make()
    return find_python()


def _stamp() -> Path:
    return folder() / "complete"


def converter() -> str:
    """Return a folder with paddle2onnx for Paddle's interpreter, made if need be; "" if it is installed there.

    Raises:
        RuntimeError: it cannot be made.
    """
    if importlib.util.find_spec("paddle2onnx"):
        return ""
    path = home() / f"benchmark-{CONVERTER[0].replace('==', '-')}-py{sys.version_info.major}{sys.version_info.minor}"
    stamp = path / "complete"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not stamp.is_file():
            shutil.rmtree(path, ignore_errors=True)
            install = [sys.executable, *_PIP, "--no-deps", "--target", str(path), *CONVERTER]
            _run(install, "for paddle2onnx")
            stamp.touch()
    return str(path)


def _make() -> None:
    shutil.rmtree(folder(), ignore_errors=True)  # what an interrupted attempt left
    get_logger().info(f"an environment with {' and '.join(REQUIREMENTS)} is made, once, some minutes: {folder()}")
    python = str(folder() / "bin" / "python")
    _run([sys.executable, "-m", "venv", str(folder())], "of the peers")
    _run([python, *_PIP, *REQUIREMENTS], "of the peers")
    _run([python, "-c", _IMPORTS], "of the peers")
    _stamp().touch()


def _run(command: Sequence[str], whose: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:] or ["no message"]
        raise RuntimeError(
            f"the environment {whose} could not be made: {' '.join(command)}: {reason[0]}. Make one yourself "
            "and name its interpreter with --peer-python, or leave the peers out with --engines ours paddle stock"
        )


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"--peer-python: there is no interpreter at {path}")
    result = subprocess.run([str(path), "-c", _IMPORTS], capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ValueError(
            f"--peer-python: {path} cannot import a peer ({reason[0]}); install them: "
            f"pip install {' '.join(REQUIREMENTS)}"
        )
    return path
