"""What a component must not leave behind: global randomness and settings, open files, threads; and what it must not call."""

import gc
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed

_DESCRIPTORS = Path("/proc/self/fd")
_OF_LIBRARIES = ("KMP_", "TORCHINDUCTOR_")
"""Environment variables that scikit-learn and torch set when they are first imported."""
_COLLECTIVES = (
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "new_group",
    "recv",
    "reduce",
    "reduce_scatter",
    "send",
)


def check_traces(use: Callable[[], object], owner: str) -> None:
    """AssertionError where `use` leaves something behind; it is called twice, as the first call may import or set up."""
    use()
    before = state()
    use()
    if state() != before:
        gc.collect()  # what nobody holds any more is closed; collecting takes half a second, so only where it matters
    for name, value in state().items():
        if value != before[name]:
            raise AssertionError(f"{owner}: {name}")


def state() -> Mapping[str, object]:
    """What a component does wrong -> what would show it."""
    return {
        "draws from torch's global generator; take all randomness from `draws`": torch.get_rng_state()
        .numpy()
        .tobytes(),
        "draws from numpy's global generator; take all randomness from `draws`": str(np.random.get_state()),
        "draws from Python's global generator; take all randomness from `draws`": random.getstate(),
        "changes torch's default dtype": torch.get_default_dtype(),
        "leaves gradients switched on or off": torch.is_grad_enabled(),
        "changes the number of torch's threads": torch.get_num_threads(),
        "changes whether torch is deterministic": torch.are_deterministic_algorithms_enabled(),
        "changes the working folder": os.getcwd(),
        "changes environment variables": {k: v for k, v in os.environ.items() if not k.startswith(_OF_LIBRARIES)},
        "leaves a thread running": {thread.ident for thread in threading.enumerate()},
        "leaves a file or socket open": _open_files(),
    }


def _open_files() -> list[str]:
    """What the open descriptors name, where the system says so; the listing's own is gone by then."""
    names = []
    for item in os.listdir(_DESCRIPTORS) if _DESCRIPTORS.is_dir() else ():
        try:
            names.append(os.readlink(_DESCRIPTORS / item))
        except OSError:
            continue
    return sorted(names)


@contextmanager
def without_communication(owner: str) -> Iterator[None]:
    """AssertionError where torch.distributed is asked to do anything; it looks as if two processes were there."""

    def refused(name: str) -> Callable[..., None]:
        def call(*_: object, **__: object) -> None:
            raise AssertionError(f"{owner}: calls torch.distributed.{name}; name outputs in `gathers`")

        return call

    with ExitStack() as stack:
        stack.enter_context(patch.object(torch.distributed, "is_available", lambda: True))
        stack.enter_context(patch.object(torch.distributed, "is_initialized", lambda: True))
        for name in _COLLECTIVES:
            stack.enter_context(patch.object(torch.distributed, name, refused(name)))
        yield
