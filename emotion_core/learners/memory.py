"""Keep large CPU tensors out of mmap, where each one costs a page fault per 4 KiB."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_GIB = 1 << 30


def reuse_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next allocation; returns False where malloc has no such setting.

    Training on a CPU allocates and frees the same activations at every step. By default glibc gives each one back
    to the system, and faulting the pages in again takes longer than batch normalisation itself.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _GIB), (_M_TRIM_THRESHOLD, 2 * _GIB - 1), (_M_TOP_PAD, _GIB // 4))
    done = [bool(mallopt(option, value)) for option, value in settings]
    return all(done)
