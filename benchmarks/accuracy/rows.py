"""The rows of the table: how each is called, and which method's card shows it."""

from __future__ import annotations

from dataclasses import dataclass

BASELINE = "dense"


@dataclass(frozen=True)
class Row:
    """A row, of one run or of several that differ in their seed.

    Attributes:
        title: in tables and figures.
        method: of the row, the name of its folder under configs/.
        option: what tells it from the method's other rows, as short as a label in a figure.
        chinese: its title in Chinese, where that is another one.
    """

    title: str
    method: str
    option: str
    chinese: str = ""

    def titled(self, language: str) -> str:
        """The title in a language of `tables.LANGUAGES`."""
        return self.chinese if language == "zh" and self.chinese else self.title


# by the name of its runs without "_seedN", in the order of the table
ROWS = {
    BASELINE: Row("ResNet-20", "baselines", "dense"),
    "oct_25": Row("OctConv, α = 0.25", "octconv", "α ¼"),
    "oct_50": Row("OctConv, α = 0.5", "octconv", "α ½"),
    "sp_2": Row("SPConv, ratio 1/2", "spconv", "½", "SPConv，比例 1/2"),
    "sp_4": Row("SPConv, ratio 1/4", "spconv", "¼", "SPConv，比例 1/4"),
    "versatile_v1": Row("versatile filters, v1", "versatile", "v1", "多功能滤波器 v1"),
    "versatile_v2": Row("versatile filters, v2", "versatile", "v2", "多功能滤波器 v2"),
    "versatile_learned": Row("versatile filters, learned masks", "versatile", "learned", "多功能滤波器，学习掩码"),
    "ddf_mul": Row("DDF, mul", "ddf", "mul"),
    "ddf_add": Row("DDF, add", "ddf", "add"),
    "sampled_02": Row("sampling, sparse loss 0.02", "sampling", "0.02", "随机采样，稀疏损失 0.02"),
    "sampled_05": Row("sampling, sparse loss 0.05", "sampling", "0.05", "随机采样，稀疏损失 0.05"),
    "sampled_20": Row("sampling, sparse loss 0.2", "sampling", "0.2", "随机采样，稀疏损失 0.2"),
    "gated": Row("ReLU gating", "gating", "gated", "ReLU 门控"),
    "ghost": Row("GhostNet's module", "baselines", "ghost", "GhostNet 模块"),
    "het": Row("HetConv", "baselines", "het"),
}


def split_name(run: str) -> tuple[str, int]:
    """The row and the seed that a run's name tells, "oct_50_seed1".

    Raises:
        ValueError: it is no such name.
    """
    row, _, seed = run.rpartition("_seed")
    if row not in ROWS or not seed.isdigit():
        raise ValueError(f"the run {run!r} must be called ROW_seedN; the rows are {', '.join(ROWS)}")
    return row, int(seed)


def tag(row: str) -> str:
    """The tag of a row's weights for `create_model`, "fashion-mnist-oct-50"."""
    return f"fashion-mnist-{row.replace('_', '-')}"
