"""What the machine has that this process may use."""

import os
import platform
import re
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")  # Linux only


def available_cores() -> int:
    """Cores that this process may use, which under a batch system are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """Name of the processor, as the system gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE) if _CPU_INFO.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def has_native_bf16() -> bool:
    """Whether the GPU, or else the CPU, computes bf16 itself: elsewhere it is emulated and slower than fp32."""
    import torch  # takes seconds, and builders do not need it

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _CPU_INFO.exists() and "avx512_bf16" in _CPU_INFO.read_text()
