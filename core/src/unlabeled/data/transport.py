"""Objects from a worker to the process that forked it: their arrays and tensors travel as shared memory, without a copy.

The memory is handed over in the pipe itself and needs no limit on /dev/shm, no names and no living sender: a worker that
is killed after it has sent loses nothing and leaves nothing behind.
"""

import io
import mmap
import os
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ALIGNMENT = 64
_PROTOCOL = 5  # the first that keeps large buffers apart


def send(connection: Connection, value: Any) -> None:
    """Send an object over one end of a duplex pipe."""
    buffers: list[Any] = []
    head = io.BytesIO()
    _Writer(head, buffers.append).dump(value)
    views = [buffer.raw() for buffer in buffers]
    sizes = [len(view) for view in views]
    connection.send((sizes, head.getvalue()))
    if sum(sizes):
        with _memory() as file:
            for view in views:
                file.write(view)
                file.write(bytes(-len(view) % _ALIGNMENT))
            file.flush()
            send_handle(connection, file.fileno(), 0)


def receive(connection: Connection) -> Any:
    """The next object from the other end; `EOFError`, `OSError` or `RuntimeError` where its sender ended in between."""
    sizes, head = connection.recv()
    views: list[memoryview] = [memoryview(bytearray())] * len(sizes)
    if sum(sizes):
        handle = recv_handle(connection)
        try:
            places = np.cumsum([0, *(size + -size % _ALIGNMENT for size in sizes)]).tolist()
            flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
            memory = memoryview(mmap.mmap(handle, places[-1], flags=flags))
        finally:
            os.close(handle)
        views = [memory[place : place + size] for place, size in zip(places, sizes, strict=False)]
    return ForkingPickler.loads(head, buffers=views)


class _Writer(ForkingPickler):
    """Keeps the bytes of arrays and tensors apart."""

    def __init__(self, file: io.BytesIO, keep: Callable[[Any], Any]) -> None:
        # Not ForkingPickler's own: it takes no callback, and torch's reductions in it need a sender that lives on.
        super(ForkingPickler, self).__init__(file, _PROTOCOL, buffer_callback=keep)

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().reshape(-1)
            return _tensor, (flat.view(torch.uint8).numpy(), flat.dtype, tuple(value.shape))
        return NotImplemented


def _tensor(raw: np.ndarray, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(raw).view(dtype).reshape(shape)


def _memory() -> io.BufferedWriter:
    """An empty file that lies in memory and has no name."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("unlabeled"), "wb")
    return tempfile.TemporaryFile("wb")  # type: ignore[return-value]
