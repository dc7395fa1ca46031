"""What the benchmark of inference says about ResNet-50 with a method's convolutions, for the method's card."""

from __future__ import annotations

import statistics
from pathlib import Path

from ..speed.deploy_rows import BASE, OPENVINO, OPENVINO_DEFAULT
from ..speed.rows import OURS
from ..speed.session import Session, load
from ..speed.tables import heading, milliseconds
from ..speed.targets import samples, time_ratio
from .tables import NONE

SESSION = Path("custom_ops", "benchmark", "deploy.json")
ROWS = {
    "octconv": ("oct_resnet50_25_batch1", "oct_resnet50_50_batch1"),
    "spconv": ("sp_resnet50_batch1",),
    "versatile": ("versatile_resnet50_v1_batch1", "versatile_resnet50_v2_batch1"),
    "ddf": ("ddf_resnet50_batch1",),
    "sampling": ("sampled_resnet50",),
    "baselines": ("resnet50_batch1",),
}
HEADER = (
    "| inference, float32 | ms | of ResNet-50 in Paddle Inference | of OpenVINO in float32, same network | "
    "of OpenVINO's default |\n|---|---|---|---|---|"
)


def large_networks(root: Path, method: str) -> str:
    """A table of the rows of ``method`` that the benchmark's session under ``root`` has; empty if there are none."""
    path = root / SESSION
    session = load(path) if path.is_file() else {"rows": {}}
    lines = [_line(session, name) for name in ROWS.get(method, ()) if name in session["rows"]]
    return "\n".join([HEADER, *lines, "", heading(session)]) if lines else ""


def _line(session: Session, name: str) -> str:
    entry = session["rows"][name]
    ratios = [time_ratio(entry, label) for label in (BASE, OPENVINO, OPENVINO_DEFAULT)]
    cells = [f"{ratio:.2f}x" if ratio else NONE for ratio in ratios]
    return f"| {entry['work']} | {milliseconds(statistics.median(samples(entry, OURS)))} | {' | '.join(cells)} |"
