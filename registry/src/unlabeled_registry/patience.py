"""A line on what a command waits for, so that an import which hangs is not mistaken for one that works."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

SECONDS = 10.0


@contextmanager
def told_when_slow(plugin: str, doing: str) -> Iterator[None]:
    """Say on standard error, after a while, that a plugin is still being imported; nothing where it is done by then.

    The line needs Python's lock: a library that hangs while it holds that is waited for in silence.
    """
    line = (
        f"plugin {plugin!r}: {doing} takes longer than {SECONDS:g} s; Ctrl-C ends the wait, and "
        f"`unlabeled plugins doctor {plugin}` says whether it hangs"
    )
    timer = Timer(SECONDS, _say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # whoever counts threads after an import should not find ours


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
