"""How this process treats memory that was freed."""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
_LARGE = 2**30


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones; elsewhere, do nothing.

    By default it hands large pieces back to the system, which must then clear every page anew: a small ViT's inference on
    a CPU is a fifth slower by that. Only the command line does this, as a library must not decide it for its host.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE), (_M_TOP_PAD, _LARGE // 16)):
        mallopt(option, value)
