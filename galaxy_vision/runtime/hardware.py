"""The cores, the bf16 instructions and the memory that this process may use."""

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
    """Return the number of cores that this process may use; a batch system may allow fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """Return the name of the processor as the operating system reports it."""
    if _CPU_INFO.exists() and (match := re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)):
        return match[1].strip()
    return platform.processor() or platform.machine()


def has_native_bf16(device: str | None = None) -> bool:
    """Return whether a device, by default the GPU if there is one, has bf16 instructions; emulated bf16 is slow.

    The instructions do not imply speed: of two CPUs with the same flag, one is twice as fast in bf16 as in fp32, and
    the other is slower.
    """
    import torch  # takes seconds, and builders do not need it

    if torch.cuda.is_available() and device != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _CPU_INFO.exists() and not _BF16_FLAGS.isdisjoint(_CPU_INFO.read_text().split())


def keep_freed_memory(limit: int = 2**30) -> None:
    """Let malloc keep up to ``limit`` bytes of freed CPU tensors for the tensors of the next step.

    By default glibc returns blocks of many MB to the system and gets them back page by page, filled with zeros, which
    took a twelfth of a training step on a CPU (lab_notes.md, page faults). Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        for threshold in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(threshold, limit)


@contextmanager
def decoding_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads that decode images; Pillow and torch release the interpreter lock while they do.

    In each thread of the pool, torch uses one thread only.
    """
    import torch

    # Asking fixes the number of this thread; otherwise it would take what was set last, which is 1 by then.
    own_threads = torch.get_num_threads()
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool
    torch.set_num_threads(own_threads)
