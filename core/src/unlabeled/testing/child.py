"""Work in a forked process that may hang or die, told line by line."""

import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any


def in_child(work: Callable[[], Iterator[Any]], seconds: float) -> Generator[Any, None, None]:
    """What `work` yields, as JSON, in a process forked from this one.

    `TimeoutError` where the next answer takes longer than so many seconds, `ChildProcessError` where the process ends before
    the last one. `work` answers for its own exceptions.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(work, writing)
    os.close(writing)
    try:
        for line in _lines(reading, seconds):
            if line == b"null":
                return
            yield json.loads(line)
        raise ChildProcessError("the process died")
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer(work: Callable[[], Iterator[Any]], writing: int) -> None:
    """Never returns, as what the parent has to clean up is not the child's."""
    try:
        with open(os.devnull, "w") as nowhere, os.fdopen(writing, "w", encoding="utf-8") as lines:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            for answer in work():
                print(json.dumps(answer), file=lines, flush=True)
            print("null", file=lines, flush=True)
    finally:
        os._exit(0)


def _lines(reading: int, seconds: float) -> Iterator[bytes]:
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reading, selectors.EVENT_READ)
        limit = time.monotonic() + seconds
        while True:
            if not selector.select(max(limit - time.monotonic(), 0)):
                raise TimeoutError(f"no answer within {seconds:g} s")
            piece = os.read(reading, 1 << 16)
            if not piece:
                return
            buffer += piece
            *whole, buffer = buffer.split(b"\n")
            for line in whole:
                yield line
                limit = time.monotonic() + seconds
