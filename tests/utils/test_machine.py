"""What a record says of the processor."""

from __future__ import annotations

from ppeffconv.utils import machine


def test_a_processor_is_named_by_what_its_speed_depends_on(monkeypatch):
    fields = {"model name": "A processor", "flags": "fpu avx2 fma avx512f amx_tile amx_bf16"}
    monkeypatch.setattr(machine, "_field", lambda _, name: fields[name])
    described = machine.describe()
    assert described["instructions"] == ["AVX2", "AVX-512", "AMX"]
    assert machine.title(described) == "A processor (AVX2, AVX-512, AMX)"


def test_older_records_have_a_name_alone():
    assert machine.title({"cpu": "A processor"}) == "A processor"
