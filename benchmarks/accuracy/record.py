"""What is kept of a finished run: one small JSON file, because the run's folder is not in the repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ppeffconv.utils.files import replacing

from .rows import ROWS, split_name


@dataclass(frozen=True)
class Record:
    """A finished run. Its accuracy is that after the last epoch, so that nothing was chosen on the test images.

    Attributes:
        name: of the run, ROW_seedN.
        command: that trained it.
        began: of its last attempt, an ISO date.
        seconds: that training took, all attempts together.
        epochs: that it was trained for.
        model, arguments: of `create_model`.
        classes: of the network.
        input_shape: (C, H, W).
        params: trainable numbers.
        macs: multiply-adds for one image; where positions are sampled at the densities on the test images.
        density: mean over the masks on the test images; None for a network without masks.
        top1: share of the test images that are classified right.
        samples: number of test images.
        first: how many of the first ``FIRST`` test images are classified right.
        curve: top-1 after each epoch, as the run's log has it.
        cpu: that trained it.
        version: of PaddlePaddle.
    """

    name: str
    command: str
    began: str
    seconds: float
    epochs: int
    model: str
    arguments: Mapping[str, Any]
    classes: int
    input_shape: tuple[int, ...]
    params: int
    macs: int
    density: float | None
    top1: float
    samples: int
    first: int
    curve: tuple[float, ...]
    cpu: str
    version: str

    @property
    def row(self) -> str:
        """The row that it belongs to."""
        return split_name(self.name)[0]

    @property
    def seed(self) -> int:
        """Of the run."""
        return split_name(self.name)[1]

    def save(self, folder: Path) -> None:
        """Write ``folder/NAME.json``."""
        with replacing(folder / f"{self.name}.json") as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


FIRST = 2000  # test images on which a test repeats the accuracy


def read_records(folder: Path) -> dict[str, list[Record]]:
    """The records in ``folder`` by row, in the order of the table, each row's by seed; rows without any are left out.

    Raises:
        ValueError: a file does not hold a record.
    """
    found: dict[str, list[Record]] = {row: [] for row in ROWS}
    for path in folder.glob("*_seed*.json"):
        record = _read(path)
        found[record.row].append(record)
    return {row: sorted(records, key=lambda record: record.seed) for row, records in found.items() if records}


def _read(path: Path) -> Record:
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no record of a run ({error}): remove it, and collect again") from None
    if record.name != path.stem:
        raise ValueError(f"{path} holds the record of {record.name}: a record lies in a file of its run's name")
    return record
