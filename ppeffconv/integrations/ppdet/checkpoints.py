"""PaddleDetection's checkpoints: whole ones only, and the newest or best of a run."""

from __future__ import annotations

from pathlib import Path

from ...utils.logger import get_logger
from ...weights import read_file

FINAL, BEST = "model_final", "best_model"


def newest(folder: Path) -> tuple[str, int] | None:
    """Return the newest checkpoint in ``folder`` as (path without suffix, epochs done), None if there is none.

    One that a kill has left incomplete is passed over.
    """
    for stem in [folder / FINAL, *reversed(_numbered(folder))]:
        parameters, optimizer = (stem.with_name(f"{stem.name}{suffix}") for suffix in (".pdparams", ".pdopt"))
        if not (parameters.is_file() and optimizer.is_file()):
            continue
        try:
            read_file(parameters)
            return str(stem), int(read_file(optimizer)["last_epoch"])
        except (RuntimeError, KeyError) as error:
            get_logger().warning(f"{stem} is passed over: {error}")
    return None


def for_inference(folder: Path) -> str:
    """Return the last weights of a finished run, else its best ones, else its newest, as a path without suffix.

    Raises:
        FileNotFoundError: the run has none.
    """
    for name in (FINAL, BEST):
        if (folder / f"{name}.pdparams").is_file():
            return str(folder / name)
    found = newest(folder)
    if found is None:
        raise FileNotFoundError(f"no weights in {folder}; train first, or name some: --weights PATH")
    return found[0]


def prune(folder: Path, keep: int) -> None:
    """Delete all but the last ``keep`` checkpoints with numbers."""
    for stem in _numbered(folder)[: -keep or None]:
        for suffix in (".pdopt", ".pdparams", ".pdema"):
            stem.with_name(f"{stem.name}{suffix}").unlink(missing_ok=True)


def _numbered(folder: Path) -> list[Path]:
    """The checkpoints named by their epoch, in order, without suffix."""
    names = {path.stem for path in folder.glob("*.pdparams") if path.stem.isdigit()}
    return [folder / name for name in sorted(names, key=int)]
