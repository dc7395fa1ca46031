"""Run folders: a new one for each run, and the one to resume."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..utils.logger import close, get_logger, setup
from .checkpoint import find_checkpoint
from .distributed import rank


def new_run(output_dir: str | Path, name: str) -> Path:
    """Make and return ``output_dir/name``, or ``name-2``, ``name-3``, ... if that is taken: no run is overwritten."""
    number = 1
    while True:
        folder = Path(output_dir) / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


@contextmanager
def alone_in(run_dir: Path) -> Iterator[None]:
    """Have no other training in this folder: two would overwrite each other's checkpoints.

    Raises:
        RuntimeError: there is one.
    """
    lock = FileLock(run_dir / ".lock", timeout=0)
    try:
        if rank() == 0:
            lock.acquire()
    except Timeout:
        raise RuntimeError(f"another process trains in {run_dir}: let it end, or stop it, first") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def kept_if_used(run_dir: Path, used: Callable[[], bool]) -> Iterator[None]:
    """Remove the folder of a new run if the block fails before the run is ``used``: there is nothing in it to keep."""
    try:
        yield
    except BaseException:
        if rank() == 0 and not used():
            close()  # its log file
            setup()
            shutil.rmtree(run_dir, ignore_errors=True)
        raise


def find_resume(resume: str | Path, output_dir: str | Path, name: str, config: Path | None = None) -> Path | None:
    """Return the checkpoint folder to resume.

    Args:
        resume: "auto" for the run that ``config`` lies in, else the newest run of this ``name`` that has a checkpoint;
            or a run's or a checkpoint's folder.
        config: the configuration file.

    Returns:
        None if ``resume`` is "auto" and there is nothing to resume.

    Raises:
        FileNotFoundError: the folder that was named holds no checkpoint.
    """
    if resume != "auto":
        resume = Path(resume).expanduser()
        for folder in (resume / "latest", resume):
            if find_checkpoint(folder) and (folder.parent / "config.yaml").is_file():
                return folder
        raise FileNotFoundError(f"cannot resume {resume}: expected a run's folder, or a checkpoint in one")
    if config is not None and config.name == "config.yaml" and find_checkpoint(config.parent / "latest"):
        return config.parent / "latest"
    for run in _runs(Path(output_dir), name):
        if find_checkpoint(run / "latest"):
            return run / "latest"
        get_logger().warning(f"{run} has no checkpoint to resume, looking at the run before it")
    get_logger().info(f"nothing to resume: no run '{name}' with a checkpoint in {output_dir}. Starting afresh")
    return None


def _runs(output_dir: Path, name: str) -> list[Path]:
    """Return the folders of the runs called ``name``, newest (of the highest number) first."""
    pattern = re.compile(rf"{re.escape(name)}(?:-(\d+))?")
    folders = [folder for folder in output_dir.glob("*") if folder.is_dir() and pattern.fullmatch(folder.name)]
    return sorted(folders, key=lambda folder: int(pattern.fullmatch(folder.name)[1] or 1), reverse=True)
