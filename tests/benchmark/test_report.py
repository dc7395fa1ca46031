"""Targets and tables from a small session."""

from __future__ import annotations

import copy
import json

import pytest

from ppeffconv.benchmark import report
from ppeffconv.benchmark.targets import AtMost, Deterministic, ExtraMemory, TimesFaster

PADDLE, TORCH = "Paddle 3.3.1", "PyTorch 2.13.0"
ROW = {
    "work": "train step, resnet18, 64x64, batch 16",
    "other_cores": 0.02,
    "contestants": {
        "ours": {
            "engine": "ours",
            "version": PADDLE,
            "ms": [90.0, 100.0, 110.0],
            "macs": 2_500_000_000,
            "peak_mb": 500,
        },
        "torch": {"engine": "torch", "version": TORCH, "ms": [100.0, 125.0, 100.0], "peak_mb": 400},
        "stock": {"engine": "stock", "version": PADDLE, "ms": [500.0, 500.0, 500.0], "peak_mb": 450},
    },
}
SESSION = {
    "kind": "train",
    "machine": {"cpu": "A processor", "cores": 2, "memory_gb": 24, "system": "Linux"},
    "threads": 2,
    "rounds": 3,
    "date": "2026-11-24",
    "command": "python tools/benchmark.py train",
    "limits": {"gflops": 100.0, "gb_per_s": 10.0},
    "rows": {"resnet18": ROW},
}


def test_full_report():
    lines = report.full(SESSION).splitlines()
    work = "| train step, resnet18, 64x64, batch 16 "
    assert lines[0].startswith("A processor, 2 cores; 2 threads; Paddle 3.3.1, PyTorch 2.13.0; 3 rounds")
    assert work + "| at most 0.9 of torch | 0.90 | yes | 100 | 50 (arithmetic) | 50 % |" in lines
    assert work + "| 6x faster than stock | 5.0x | **no** | 100 | 50 (arithmetic) | 50 % |" in lines
    assert work + "| torch | 100 (100 to 112) | 0.900 of it | 400 |" in lines
    assert "meanwhile" not in lines[0]


def test_report_tells_of_noise_and_of_missing_kernels():
    session = copy.deepcopy(SESSION)
    session["rows"]["resnet18"]["other_cores"] = 1.5
    session["rows"]["resnet18"]["contestants"]["ours"]["kernels"] = []
    text = report.full(session)
    heading = text.splitlines()[0]
    assert "† others used more than 0.1 cores meanwhile" in heading
    assert "| 0.90 † | unsure |" in text
    assert "without compiled kernels" in heading


def test_report_into_a_document(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(SESSION))
    document = tmp_path / "README.md"
    document.write_text("before\n<!-- benchmark:train -->\nold\n<!-- /benchmark -->\nafter\n")
    for _ in range(2):
        report.write_into(document, [tmp_path / "train.json"])
        text = document.read_text()
        assert text.startswith("before\n<!-- benchmark:train -->\nA processor")
        assert text.endswith("</details>\n<!-- /benchmark -->\nafter\n")
        assert "old" not in text
        assert text.count("| not measured |") == 12


def test_report_errors(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(SESSION))
    document = tmp_path / "README.md"
    with pytest.raises(FileNotFoundError, match="there is no"):
        report.write_into(document, [tmp_path / "train.json"])
    document.write_text("no markers")
    with pytest.raises(ValueError, match="must hold the markers <!-- benchmark:train -->"):
        report.write_into(document, [tmp_path / "train.json"])
    with pytest.raises(FileNotFoundError, match="measure first"):
        report.write_into(document, [tmp_path / "ops.json"])


@pytest.mark.parametrize(
    ("target", "judged"),
    [
        (AtMost("torch", 0.9), ("0.90", True)),
        (AtMost("torch", 0.89), ("0.90", False)),
        (TimesFaster("stock", 5), ("5.0x", True)),
        (TimesFaster("nobody", 5), None),
        (ExtraMemory(0.05), ("6.2 %", False)),
        (ExtraMemory(0.07), ("6.2 %", True)),
        (Deterministic(), ("no", False)),
    ],
)
def test_targets(target, judged):
    result = copy.deepcopy(ROW) | {"growth_mb": 105.0}
    result["contestants"]["ours"] |= {"input_mb": 80.0, "output_mb": 100.0, "deterministic": False}
    assert target.judge(result) == judged


def test_unmeasured_targets():
    assert ExtraMemory(0.05).judge(ROW) is None
    assert Deterministic().judge(ROW) is None
