"""What the machine has that this process may use."""

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

PRECISIONS = ("auto", "no", "bf16", "fp16")
"""Choices of ``mixed_precision``: names of Accelerate ("no" is fp32), and "auto", which lets the run choose.

They are listed in this module since the parser of the command line needs them and must start without torch.
"""

_CPU_INFO = Path("/proc/cpuinfo")  # Linux only
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, Arm: as Linux names them
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def available_cores() -> int:
    """Cores that this process may use, which under a batch system are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """Name of the processor, as the system gives it."""
    found = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE) if _CPU_INFO.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def has_native_bf16(device: str | None = None) -> bool:
    """Say whether the device, by default the GPU if there is one, has instructions for bf16; emulated it is slow.

    They say nothing about speed: with the same flag one CPU is twice as fast in bf16 as in fp32, and another is slower.
    """
    import torch  # takes seconds, and builders do not need it

    if torch.cuda.is_available() and device != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _CPU_INFO.exists() and not _BF16_FLAGS.isdisjoint(_CPU_INFO.read_text().split())


def keep_freed_memory(limit: int = 2**30) -> None:
    """Let malloc keep up to ``limit`` bytes that tensors on the CPU have freed, for the tensors of the next step.

    glibc gives blocks of many MB back to the system and gets them again page by page, filled with zeros: a twelfth of
    the time of a training step on a CPU. Another C library is left as it is.
    """
    if platform.libc_ver()[0] == "glibc":
        for threshold in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(threshold, limit)


@contextmanager
def decoding_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that decode images: Pillow and torch let go of the interpreter for that.

    In each of them torch computes alone, and does not start a team of threads of its own.
    """
    import torch

    own = (
        torch.get_num_threads()
    )  # settles it: a thread takes its number, when it first computes, from whoever set one last
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool
    torch.set_num_threads(own)
