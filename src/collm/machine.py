"""What this process asks of the machine it runs on."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

import torch
import transformers

from collm.errors import ConfigError

_WIDE = torch.backends.cpu.get_cpu_capability() == "AVX512" and not torch.cpu._is_amx_tile_supported()
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def prepare(device: str = "cpu", threads: int | None = None) -> int:
    """Set threads, deterministic kernels and the memory allocator; returns the thread count.

    Raises ConfigError if the device does not exist.
    """
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = "unknown"
    if kind not in ("cpu", "cuda"):
        raise ConfigError(f"run.device = {device}: unknown device. Allowed: cpu, cuda, cuda:N.")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads = {threads}: must be at least 1.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"run.device = {device}: this machine has no CUDA device. Allowed here: cpu.")
    if threads is not None:
        torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    keep_freed_memory()
    return torch.get_num_threads()


def keep_freed_memory() -> None:
    """Let glibc reuse freed tensors instead of returning them to the kernel, which has to clear each page again.

    Learning spends a quarter to a third of its time in page faults otherwise. Elsewhere than on glibc, nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 26)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_M_TOP_PAD, 64 << 20)


def return_freed_memory() -> None:
    """The opposite, once: what is free now goes back to the kernel."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def large_products(large: bool = True) -> Iterator[None]:
    """Let oneDNN compute the fp32 matrix products of what is inside, as long as it is on a processor and they are large.

    Torch's other library keeps to narrow vectors on processors that are not of its maker; for small products it is the
    faster one (``python benchmarks/operations.py``). What lets oneDNN in is leave to compute in bf16; without matrix units
    (AMX) it makes no use of that leave, and where there are some this does nothing. The switch is one for all threads.
    """
    before = torch.get_float32_matmul_precision()
    if not _WIDE or torch.cuda.is_available():
        yield
        return
    torch.set_float32_matmul_precision("medium" if large else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
