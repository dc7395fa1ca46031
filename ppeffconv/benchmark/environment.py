"""PyTorch's own environment, made once; Paddle and PyTorch in one would fight over OpenMP and numpy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from ..utils.download import home
from ..utils.logger import get_logger

TORCH = "2.13.0"
REQUIREMENTS = (f"torch=={TORCH}", "numpy")


def folder() -> Path:
    """Where the environment lies: ``$PPEFFCONV_HOME``, else ``~/.cache/ppeffconv``, / benchmark-torch-VERSION."""
    return home() / f"benchmark-torch-{TORCH}"


def find_python() -> Path | None:
    """The environment's interpreter, None unless the environment is complete."""
    return folder() / "bin" / "python" if _stamp().is_file() else None


def peer_python(path: str | Path | None = None) -> Path:
    """Return an interpreter that has PyTorch: ``path``, else that of the environment, which is made if need be.

    Raises:
        FileNotFoundError: there is no interpreter at ``path``.
        ValueError: it cannot import torch.
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


def _make() -> None:
    shutil.rmtree(folder(), ignore_errors=True)  # what an interrupted attempt left
    get_logger().info(f"an environment with {' and '.join(REQUIREMENTS)} is made, once, some minutes: {folder()}")
    python = str(folder() / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
    for command in ([sys.executable, "-m", "venv", str(folder())], install, [python, "-c", "import torch, numpy"]):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:] or ["no message"]
            raise RuntimeError(
                f"the environment for PyTorch could not be made: {' '.join(command)}: {reason[0]}. Make one yourself "
                "and name its interpreter with --peer-python, or leave PyTorch out with --engines ours stock"
            )
    _stamp().touch()


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"--peer-python: there is no interpreter at {path}")
    result = subprocess.run([str(path), "-c", "import torch"], capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ValueError(
            f"--peer-python: {path} cannot import torch ({reason[0]}); install it: pip install {REQUIREMENTS[0]}"
        )
    return path
