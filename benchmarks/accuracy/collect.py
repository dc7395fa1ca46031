"""From the folders of finished runs to records and published weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ppeffconv.engine.queue import QueuedRun
from ppeffconv.utils.logger import get_logger
from ppeffconv.weights.table import FOLDER

from .examine import examine
from .publishing import publish_run
from .record import Record, read_records
from .rows import split_name


def collect(runs: Iterable[QueuedRun], records: Path, weights: Path = FOLDER) -> list[Record]:
    """Keep a record of every run of the queue that is done, and publish its weights if its seed is the first.

    Runs whose records are kept already are left alone. One that cannot be kept does not keep the others from it.

    Args:
        runs: of the queue's file.
        records: the folder of the records.
        weights: that of the table of weights.

    Returns:
        The new records.

    Raises:
        ValueError: a run is not called as its row and seed.
        RuntimeError: at the end, for runs that cannot be kept: their folders are gone though they are done, or what
            their checkpoints score is not finite, or not what their logs say.
    """
    kept = {record.name: record for row in read_records(records).values() for record in row}
    new, problems = [], []
    for run in runs:
        split_name(run.name)
        if not run.done:
            get_logger().info(f"{run.name}: {run.state}")
        elif not _is_of(kept.get(run.name), run):
            try:
                new.append(_keep(run, records, weights))
            except (FileNotFoundError, RuntimeError) as error:
                problems.append(str(error))
    if problems:
        raise RuntimeError("; ".join(problems))
    return new


def _is_of(record: Record | None, run: QueuedRun) -> bool:
    return record is not None and (record.command, record.began) == (run.command, run.attempts[-1]["began"])


def _keep(run: QueuedRun, records: Path, weights: Path) -> Record:
    finished = examine(run)
    publish_run(finished, weights)
    finished.record.save(records)  # last: what is kept has weights
    get_logger().info(f"{run.name}: top-1 {100 * finished.record.top1:.2f} %")
    return finished.record
