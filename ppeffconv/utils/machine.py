"""What the machine is that a time was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from .cores import physical_cores

# What decides how fast a convolution is: flag in /proc/cpuinfo, and its name
INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_tile": "AMX",
}


def describe() -> dict[str, object]:
    """Processor, its vector and matrix instructions, cores and memory."""
    flags = _field("/proc/cpuinfo", "flags").split()
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "instructions": [name for flag, name in INSTRUCTIONS.items() if flag in flags],
        "cores": physical_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.system(),
    }


def title(machine: Mapping[str, Any]) -> str:
    """What to call a described machine's processor, such as "AMD EPYC (AVX2, AVX-512, AVX512-BF16)"."""
    instructions = ", ".join(machine.get("instructions", ()))
    return f"{machine['cpu']} ({instructions})" if instructions else machine["cpu"]


def conditions(record: Mapping[str, Any]) -> str:
    """What the times of a record with "machine" and "threads" were measured on, for the foot of a figure."""
    return f"{title(record['machine'])}, {record['threads']} threads, float32 unless named otherwise"


def _field(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "")
    except OSError:
        return ""
