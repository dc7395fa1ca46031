"""Targets and tables from a small session."""

from __future__ import annotations

import copy
import json

import pytest

from benchmarks.speed import growth_figures, report
from benchmarks.speed.deploy_rows import BASE, DENSE, PLAIN
from benchmarks.speed.layer_kinds import KINDS
from benchmarks.speed.targets import AtMost, BreakEven, Deterministic, ExtraMemory, TimesFaster

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
    "machine": {"cpu": "A processor", "instructions": ["AVX2", "AMX"], "cores": 2, "memory_gb": 24, "system": "Linux"},
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
    assert lines[0].startswith(
        "A processor (AVX2, AMX), 2 cores; 2 threads; float32 unless named otherwise; "
        "Paddle 3.3.1, PyTorch 2.13.0 (PyTorch, eager, float32); 3 rounds"
    )
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
    document.write_text("before\n<!-- benchmark:train -->\nold\n<!-- /benchmark:train -->\nafter\n")
    for _ in range(2):
        report.write_into(document, [tmp_path / "train.json"])
        text = document.read_text()
        assert text.startswith("before\n<!-- benchmark:train -->\nA processor")
        assert text.endswith("</details>\n<!-- /benchmark:train -->\nafter\n")
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
        (TimesFaster("stock", 1, of="torch"), ("5.0x", True)),
    ],
)
def test_targets(target, judged):
    result = copy.deepcopy(ROW) | {"growth_mb": 105.0}
    result["contestants"]["ours"] |= {"input_mb": 80.0, "output_mb": 100.0, "deterministic": False}
    assert target.judge(result) == judged


def test_unmeasured_targets():
    assert ExtraMemory(0.05).judge(ROW) is None
    assert Deterministic().judge(ROW) is None


def densities(**ms):
    contestants = {"dense": {"ms": [100.0, 100.0]}}
    contestants |= {name: {"ms": [value, value], "density": float(name[1:]) / 10} for name, value in ms.items()}
    return {"contestants": contestants}


def test_break_even_density():
    target = BreakEven("dense", 0.7)
    assert target.judge(densities(d2=50.0, d6=90.0, d8=110.0)) == ("0.70", True)
    assert target.judge(densities(d2=50.0, d6=110.0)) == ("0.53", False)
    assert target.judge(densities(d2=50.0, d9=90.0)) == ("1.00", True)
    assert target.judge(densities(d2=110.0, d9=120.0)) == ("0.20", False)
    assert target.judge(densities()) is None


def test_other_numbers_are_no_measurement():
    result = copy.deepcopy(ROW)
    result["contestants"]["torch"]["error"] = 1e-3
    assert AtMost("torch", 0.9).judge(result) is None
    result["contestants"]["torch"]["dtype"] = "bfloat16"
    assert AtMost("torch", 0.9).judge(result) == ("0.90", True)


def deploy_session() -> dict:
    """Two networks that were measured, one of them sampling, and sizes that grow."""

    def facts(ms, macs, **more):
        return {"version": "v", "ms": [ms, ms], "macs": macs, "peak_mb": 1, **more}

    layers = dict.fromkeys(KINDS, 1.0) | {"convolution": 5.0}
    first = {
        "ours": facts(25.0, 50, layers=layers),
        BASE: facts(50.0, 100),
        "OpenVINO": facts(30.0, 50),
        "OpenVINO, its default": facts(10.0, 50, dtype="bfloat16", error=0.05),
        "onnxruntime": facts(20.0, 50, error=0.1),
        "Paddle Inference": {"missing": "crash"},
        "ours, bfloat16": facts(12.5, 50, dtype="bfloat16"),
    }
    rows = {"oct_resnet50_50_batch1": {"work": "oct", "other_cores": 0.0, "contestants": first}}
    dense = facts(100.0, 400, layers=layers)
    sampling = {"ours": facts(50.0, 200, density=0.35, layers=layers), DENSE: dense, PLAIN: dense}
    rows["sampled_resnet50"] = {"work": "sampled", "other_cores": 0.5, "contestants": sampling}
    sweep = {PLAIN: dense, "a": facts(50.0, 9, density=0.35), "density 1": facts(110.0, 9, density=1.0)}
    rows["sampled_densities"] = {"work": "densities", "other_cores": 0.0, "contestants": sweep}
    return {**SESSION, "kind": "deploy", "rows": rows}


def test_deploy_report(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "deploy.json").write_text(json.dumps(deploy_session()))
    document = tmp_path / "README.md"
    document.write_text("<!-- benchmark:deploy --><!-- /benchmark:deploy -->")
    assert report.sessions_in(document, tmp_path / "kept") == [tmp_path / "kept" / "deploy.json"]
    report.write_into(document, [tmp_path / "kept" / "deploy.json"])
    text = document.read_text()
    ratios, times = "2.00 | 2.00x | 1.55x | yes | 1.20x | 0.40x | 40 %", "25 | 30 | 10 | 20 ≠ | – | fails"
    assert f"| oct_resnet50, α = 0.5 | {ratios} | {times} |" in text
    # bfloat16 is never held against a peer's float32
    assert "| oct_resnet50, α = 0.5, bfloat16 | 2.00 | 4.0x | 2.8x | yes | – | 0.80x |" in text
    assert "| over OpenVINO, float32 | over its default |" in text
    assert "density 0.35, over its dense form | 2.00 | 2.00x | 1.6x | unsure †" in text
    assert "as fast as resnet50 without masks at a density of 0.89" in text
    assert "| 0.35 | 50 | 2.20x | 2.00x |" in text
    for name in ("deploy_speedup", "deploy_layers"):
        assert f"](kept/{name}.png)" in text
        assert (tmp_path / "kept" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "faster than OpenVINO" in report.full(deploy_session())


def test_growth_report(tmp_path):
    facts = {"version": "v", "ms": [10.0, 10.0], "macs": 100}
    contestants = {"resnet50": facts, "ddf_resnet50": facts}
    rows = {f"side{side}_batch1": {"work": "w", "other_cores": 0.0, "contestants": contestants} for side in (112, 224)}
    session = {**SESSION, "kind": "growth", "rows": rows}
    assert list(growth_figures.draw_growth(session, tmp_path / "growth.json")) == ["growth_ddf.png"]
    assert (tmp_path / "growth_ddf.png").is_file()
    assert "| 224 | 10 | – |" in report.full(session)


def test_a_document_holds_sessions_of_several_machines(tmp_path):
    names = ("deploy", "deploy_avx2")
    document = tmp_path / "README.md"
    document.write_text("\n".join(f"<!-- benchmark:{name}:short --><!-- /benchmark:{name}:short -->" for name in names))
    for name, cpu in zip(names, ("Large", "Small")):
        session = deploy_session() | {"machine": {**SESSION["machine"], "cpu": cpu}}
        (tmp_path / f"{name}.json").write_text(json.dumps(session))
    report.write_into(document, report.sessions_in(document, tmp_path))
    first, second = document.read_text().split("<!-- /benchmark:deploy:short -->")
    assert "Large (AVX2, AMX), 2 cores" in first
    assert "Small (AVX2, AMX), 2 cores" in second
    assert (tmp_path / "deploy_avx2_speedup.png").is_file()


def busy_session(ours: float, torch: float, other_cores: float = 0.0) -> dict:
    """Quiet steps of 100 ms, and what they become beside a busy core."""
    facts = {"ours": ours, "PyTorch": torch}
    contestants = {
        label: {
            "engine": label,
            "version": PADDLE,
            "ms": [100.0] * 3,
            "busy_ms": [90 * loss, 100 * loss, 150 * loss],
        }
        for label, loss in facts.items()
    }
    row = {"work": "train step", "other_cores": other_cores, "contestants": contestants}
    return {**SESSION, "kind": "busy", "rows": {"train": row}}


@pytest.mark.parametrize(
    ("ours", "torch", "reached"),
    [(1.5, 1.6, "yes; yes"), (1.7, 1.6, "yes; **no**"), (2.1, 3.0, "**no**; yes"), (2.1, 2.0, "**no**; **no**")],
)
def test_busy_report(ours, torch, reached):
    text = report.full(busy_session(ours, torch))
    assert f"| ours | 100 | {100 * ours:.0f} | {ours:.2f}x |" in text
    assert f"; loses no more than the best peer | {reached} |" in text


def test_busy_report_of_a_machine_with_more_work_and_of_an_engine_that_fails():
    assert "| unsure †" in report.full(busy_session(1.5, 1.6, other_cores=0.5))
    session = busy_session(1.5, 1.6)
    session["rows"]["train"]["contestants"]["PyTorch"] = {"engine": "torch", "missing": "no such op"}
    text = report.full(session)
    assert "| PyTorch | fails | – | – | – | – |" in text
    assert "| at most 2x as long beside a busy core | yes |" in text
