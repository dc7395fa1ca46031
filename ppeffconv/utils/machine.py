"""What the machine is that a time was measured on."""

from __future__ import annotations

import os
import platform

from .runtime import physical_cores


def describe() -> dict[str, object]:
    """Processor, cores and memory."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": physical_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.system(),
    }


def _field(path: str, name: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "")
    except OSError:
        return ""
