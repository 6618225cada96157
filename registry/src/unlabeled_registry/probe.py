"""The import probe: a plugin is imported in a process of its own, where it may raise, exit, hang or crash.

It shows what a plugin does by accident, and is no defence against one that means harm: the process has the user's rights.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

from unlabeled_registry.cache import Cache, stamp_of
from unlabeled_registry.manifest import Manifest

TIMEOUT = 60.0
_QUIET = 16 * 1024  # bytes that an import may print

Target = str | tuple[str, str | Path]
"""An installed plugin's name, or a package and a folder that the import path is extended by."""


@dataclass(frozen=True)
class ProbeResult:
    """What became of a plugin in the probe."""

    ok: bool  # its package, and every object that its manifest names, can be imported, and are what they should be
    cause: str  # why not, in one line
    problems: tuple[str, ...]  # all causes
    effects: tuple[str, ...]  # what it does at import besides defining things; it works in spite of these
    seconds: float | None  # what importing its package alone takes
    heavy: tuple[str, ...]  # the large libraries that are loaded by then
    network: bool  # whether it tried to use the network, which is refused


def probe(
    target: Target, timeout: float = TIMEOUT, *, objects: bool = True, python: str = sys.executable
) -> ProbeResult:
    """Import a plugin, and the objects of its manifest unless told otherwise, in a process that ends after `timeout` seconds.

    `python` is the interpreter whose environment is meant; `unlabeled-registry` must be installed in it.
    """
    name, *path = (target,) if isinstance(target, str) else map(str, target)
    if python == sys.executable:  # it finds what this process would
        path += [entry or os.getcwd() for entry in sys.path]
    elif inherited := os.environ.get("PYTHONPATH"):
        path.append(inherited)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.jsonl")
        command = [
            python,
            "-P",
            "-m",
            f"{__package__}.probe_child",
            str(report),
            name,
            *([] if objects else ["--no-objects"]),
        ]
        ending, printed = _run(command, timeout, os.environ | {"PYTHONPATH": os.pathsep.join(path)})
        lines = _read(report)
    return _result(lines, ending, printed)


def probe_all(targets: Iterable[Target], timeout: float = TIMEOUT, *, objects: bool = True) -> list[ProbeResult]:
    """Probe several plugins, a few at a time."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda target: probe(target, timeout, objects=objects), targets))


def vet(manifests: Sequence[Manifest], timeout: float = 30.0) -> list[str]:
    """Why each plugin's package cannot be imported, or nothing; what passed is remembered until its code changes."""
    cache = Cache("vetted.json")
    files = [str(manifest.path.with_name("__init__.py")) for manifest in manifests]
    stamps = [stamp_of(file) or [] for file in files]
    unknown = [index for index, file in enumerate(files) if not cache.known(file, stamps[index])]
    results = probe_all([manifests[index].name for index in unknown], timeout, objects=False)
    causes = [""] * len(manifests)
    for index, result in zip(unknown, results, strict=True):
        causes[index] = result.cause
        if result.ok:
            cache.keep(files[index], stamps[index], True)
    cache.save()
    return causes


def _run(command: Sequence[str], timeout: float, environment: Mapping[str, str]) -> tuple[str, int]:
    """How the process ended before its time, or nothing, and how many bytes it printed."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    counter = _Counter(process.stdout)
    counter.start()
    try:
        code = process.wait(timeout)
        ending = f"ends the process with {_signal(-code)}" if code < 0 else f"ends the process with exit code {code}"
    except subprocess.TimeoutExpired:
        ending = f"takes longer than {timeout:g} seconds"
    finally:
        _kill(process)
        counter.join(1)
    if not counter.is_alive():  # it is where another process that the plugin started holds the pipe open
        process.stdout.close()
    return ending, counter.bytes


class _Counter(Thread):
    """Reads what a process prints, so that it is never held up, and counts it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.pipe, self.bytes = pipe, 0

    def run(self) -> None:
        while chunk := os.read(self.pipe.fileno(), 1 << 16):
            self.bytes += len(chunk)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and what it started
    process.wait()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read(report: Path) -> list[dict[str, Any]]:
    """The lines of a report, as far as they were written."""
    lines = []
    try:
        for line in report.read_text(encoding="utf-8", errors="replace").splitlines():
            lines.append(json.loads(line))
    except (OSError, ValueError):
        pass
    return [line for line in lines if isinstance(line, dict)]


def _result(lines: Sequence[dict[str, Any]], ending: str, printed: int) -> ProbeResult:
    doing, problems, found = "starting", [], dict[str, Any]()
    network = []
    for line in lines:
        doing = line.get("doing", doing)
        if "problem" in line:
            problems.append(f"{doing}: {line['problem']}")
        if "network" in line:
            network.append(f"it uses the network while {doing}: {line['network']}")
        found |= line
    if "done" not in found:
        problems.append(f"{doing}: {ending}")
    effects = [*dict.fromkeys(network), *found.get("effects", ())]
    if printed > _QUIET:
        effects.append(f"it prints {printed // 1024} KiB when it is imported")
    return ProbeResult(
        ok=not problems,
        cause=problems[0] if problems else "",
        problems=tuple(problems),
        effects=tuple(effects),
        seconds=found.get("seconds"),
        heavy=tuple(found.get("heavy", ())),
        network=bool(network),
    )
