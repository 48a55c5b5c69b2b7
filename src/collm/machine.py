"""What this process asks of the machine it runs on."""

from __future__ import annotations

import ctypes
import platform

import torch
import transformers

from collm.errors import ConfigError

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
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_M_TOP_PAD, 64 << 20)
