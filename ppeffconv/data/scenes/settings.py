"""What a set of scenes is made from: equal settings give equal files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

FORMAT = 1  # rises when the same settings would give other files
SMALLEST_SIDE = 48


@dataclass(frozen=True)
class SceneSettings:
    """Settings of a set of scenes.

    Args:
        train, val: number of scenes; the garments of train come from Fashion-MNIST's training part, those of val from
            its test part.
        height, width: of every scene, in pixels.
        seed: whole number >= 0; scene i of a split is a function of (seed, split, i) and the other settings.
        fewest, most: garments in a scene.

    Raises:
        ValueError: a setting out of range.
    """

    train: int = 2000
    val: int = 400
    height: int = 192
    width: int = 192
    seed: int = 0
    fewest: int = 3
    most: int = 12

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"scenes: {field.name} must be a whole number >= 0, got {value!r}")
        if self.train + self.val == 0:
            raise ValueError("scenes: nothing to make, train and val are both 0")
        if min(self.height, self.width) < SMALLEST_SIDE:
            raise ValueError(
                f"scenes: a side must have at least {SMALLEST_SIDE} pixels for garments to be recognisable,"
                f" got {self.height}x{self.width}"
            )
        if not 1 <= self.fewest <= self.most <= 50:
            raise ValueError(f"scenes: expected 1 <= fewest <= most <= 50 garments, got {self.fewest} and {self.most}")

    def count(self, split: str) -> int:
        """Number of scenes of ``split``, "train" or "val"."""
        return self.train if split == "train" else self.val

    def as_dict(self) -> dict[str, Any]:
        """The settings and the number of the format, as they are saved beside the scenes."""
        return {"format": FORMAT, **asdict(self)}
