"""pip and uv, as processes: they say what a plugin needs from the ordinary package index, and write what was verified."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Protocol

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from unlabeled_registry.errors import RegistryError

_WHEELS_ONLY = ("--only-binary", ":all:")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_WRITTEN_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:\[[\w.,-]*\])?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Settings that send pip and uv to another environment, or have them leave out what is needed.
_ELSEWHERE = frozenset(
    f"{program}_{name}"
    for program in ("PIP", "UV")
    for name in ("PYTHON", "TARGET", "PREFIX", "ROOT", "USER", "SYSTEM_PYTHON", "NO_DEPS", "DRY_RUN", "REPORT")
)


@dataclass(frozen=True)
class Package:
    """A release and the sha256s of the files that may be installed for it.

    `RegistryError` where one of them is none: written into a requirements file, it could say something else there.
    """

    name: str
    version: str
    hashes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not is_release(self.name, self.version) or not all(map(_SHA256.fullmatch, self.hashes)):
            raise RegistryError(f"{self.name!r} {self.version!r}: is no name and version with sha256s; install it anew")

    def line(self) -> str:
        """As a requirements file has it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash=sha256:{value}" for value in self.hashes)])


class Installer(Protocol):
    """What an installation needs from pip or uv; `RegistryError` has their own reason where they fail."""

    name: str

    def resolve(self, wheels: Sequence[Path], constraints: Sequence[str], work: Path) -> list[Package]:
        """What the wheels need from the ordinary package index beside what is installed; nothing is installed."""

    def collect(self, packages: Sequence[Package], folder: Path) -> list[Package]:
        """Bring the packages' wheels into a folder, built from source where that was allowed; the packages as they are then."""

    def hashes(self, pins: Sequence[str], work: Path) -> list[Package]:
        """The packages of `name==version` pins, with the sha256s of their wheels; nothing is installed."""

    def install(self, packages: Sequence[Package], folder: Path, *, target: Path | None, lock: IO[str] | None) -> None:
        """Install exactly these from the folder, hashes enforced: into the environment, or into a folder of their own."""


class Pip:
    """The environment's own pip."""

    name = "pip"

    def __init__(self, source: bool = False) -> None:
        self.source = source

    def resolve(self, wheels: Sequence[Path], constraints: Sequence[str], work: Path) -> list[Package]:
        pinned = _write(work / "constraints.txt", constraints)
        items = self._report(["--constraint", str(pinned), *_binary(self.source), *map(str, wheels)], work)
        ours = {_name_of(wheel) for wheel in wheels}
        return [package for package in map(_reported, items) if package.name not in ours]

    def collect(self, packages: Sequence[Package], folder: Path) -> list[Package]:
        listed = _write(folder.with_name("packages.txt"), [package.line() for package in packages])
        command = ["wheel", "--no-deps", "--require-hashes", "--wheel-dir", str(folder), *_binary(self.source)]
        self._run([*command, "--requirement", str(listed)])
        if not self.source:
            return list(packages)
        built = {_name_of(wheel): hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in folder.glob("*.whl")}
        return [Package(package.name, package.version, (built[package.name],)) for package in packages]

    def install(self, packages: Sequence[Package], folder: Path, *, target: Path | None, lock: IO[str] | None) -> None:
        listed = _write(folder.with_name("all.txt"), [package.line() for package in packages])
        where = ["--target", str(target)] if target else ["--force-reinstall"]
        command = [
            "--isolated",
            "install",
            "--no-index",
            "--no-deps",
            "--no-compile",
            "--require-hashes",
            *_WHEELS_ONLY,
        ]
        self._run([*command, "--find-links", str(folder), *where, "--requirement", str(listed)], lock)

    def hashes(self, pins: Sequence[str], work: Path) -> list[Package]:
        items = self._report(["--ignore-installed", "--no-deps", *_WHEELS_ONLY, *pins], work)
        return [_reported(item) for item in items]

    def _report(self, arguments: Sequence[str], work: Path) -> list[dict[str, object]]:
        """What pip would install."""
        report = work / "report.json"
        self._run(["install", "--dry-run", "--report", str(report), *arguments])
        items: list[dict[str, object]] = json.loads(report.read_text(encoding="utf-8"))["install"]
        return items

    def _run(self, arguments: Sequence[str], lock: IO[str] | None = None) -> None:
        quiet = ["--no-input", "--disable-pip-version-check", "--no-color", "--progress-bar", "off"]
        # -P: a pip.py or json.py in the folder that the user stands in is none of ours
        _run([sys.executable, "-P", "-m", "pip", *arguments, *quiet], "pip", lock)


class Uv:
    """uv, for environments that it made."""

    name = "uv"

    def __init__(self, program: str, source: bool = False) -> None:
        self.program = program
        self.source = source

    def resolve(self, wheels: Sequence[Path], constraints: Sequence[str], work: Path) -> list[Package]:
        from unlabeled_registry.install.distributions import installations

        installed = installations()
        # In the file, as the option would take the place of what the user has configured.
        wanted = _write(work / "wanted.in", [f"--find-links {wheels[0].parent}", *map(_of_wheel, wheels)])
        pinned = _write(work / "constraints.txt", constraints)
        # What lies in the output file is preferred to newer versions, as pip prefers what is installed.
        output = _write(
            work / "resolved.txt",
            [f"{item.name}=={item.version}" for item in installed.values() if is_release(item.name, item.version)],
        )
        command = ["compile", "--generate-hashes", "--no-header", "--no-annotate", "--constraint", str(pinned)]
        self._run([*command, "--output-file", str(output), *_binary(self.source), str(wanted)])
        ours = {_name_of(wheel) for wheel in wheels}
        found = parse_pins(output.read_text(encoding="utf-8"))
        return [
            package
            for package in found
            if package.name not in ours
            and (package.name not in installed or installed[package.name].version != package.version)
        ]

    def collect(self, packages: Sequence[Package], folder: Path) -> list[Package]:
        """As they are: uv downloads into its own cache when it installs, and enforces the same hashes."""
        return list(packages)

    def install(self, packages: Sequence[Package], folder: Path, *, target: Path | None, lock: IO[str] | None) -> None:
        lines = [f"--find-links {folder}", *(package.line() for package in packages)]
        listed = _write(folder.with_name("all.txt"), lines)
        where = ["--target", str(target)] if target else ["--reinstall"]
        command = ["install", "--no-deps", "--require-hashes", *_binary(self.source), *where]
        self._run([*command, "--requirement", str(listed)], lock)

    def hashes(self, pins: Sequence[str], work: Path) -> list[Package]:
        wanted, output = _write(work / "wanted.in", pins), work / "resolved.txt"
        command = ["compile", "--generate-hashes", "--no-header", "--no-annotate", "--no-deps", *_WHEELS_ONLY]
        self._run([*command, "--output-file", str(output), str(wanted)])
        return parse_pins(output.read_text(encoding="utf-8"))

    def _run(self, arguments: Sequence[str], lock: IO[str] | None = None) -> None:
        head, *rest = arguments
        _run([self.program, "--quiet", "pip", head, "--python", sys.executable, *rest], "uv", lock)


def is_release(name: str, version: str) -> bool:
    """Whether these are a normalised name and a version, and nothing else that a requirements file could understand."""
    return _NAME.fullmatch(name) is not None and _is_version(version)


def _is_version(text: str) -> bool:
    try:
        return bool(Version(text)) and text.isascii() and not re.search(r"\s", text)  # which Version takes around it
    except InvalidVersion:
        return False


def find_installer(chosen: str | None = None, *, source: bool = False) -> Installer:
    """The installer that was chosen, else the one that made this environment; `RegistryError` where there is none.

    source: whether it may build packages of the ordinary index, which runs their code.
    """
    program = shutil.which("uv")
    if chosen == "uv" or (chosen is None and program and (_made_by_uv() or find_spec("pip") is None)):
        if program is None:
            raise RegistryError("uv is not found on PATH; install it, or give --installer pip")
        return Uv(program, source)
    if find_spec("pip") is None:
        raise RegistryError(f"this environment has no pip; `{sys.executable} -m ensurepip` adds it, or put uv on PATH")
    return Pip(source)


def parse_pins(text: str) -> list[Package]:
    """The `name==version --hash=...` entries of a requirements file; `RegistryError` for a line that is none."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        entry = line.partition(" #")[0].strip()
        if not entry or entry.startswith("#"):
            continue
        head, *hashes = entry.split()
        name, equals, version = head.partition("==")
        if (
            not equals
            or not hashes
            or not _WRITTEN_NAME.fullmatch(name)
            or not _is_version(version)
            or not all(item.startswith("--hash=sha256:") for item in hashes)
        ):
            raise RegistryError(
                f"{entry[:60]!r} is no `name==version --hash=sha256:...`; `unlabeled plugins lock` writes such a file"
            )
        values = tuple(item.removeprefix("--hash=sha256:") for item in hashes)
        found.append(Package(canonicalize_name(name.partition("[")[0]), version, values))
    return found


def _made_by_uv() -> bool:
    try:
        settings = Path(sys.prefix, "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(line.startswith("uv ") for line in settings.splitlines())


def _binary(source: bool) -> tuple[str, ...]:
    return () if source else _WHEELS_ONLY


def _reported(item: Mapping[str, object]) -> Package:
    metadata, download = item["metadata"], item["download_info"]
    assert isinstance(metadata, dict) and isinstance(download, dict)
    digest = download.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest is None:
        raise RegistryError(
            f"{metadata['name']} {metadata['version']}: its package index gives no sha256; install it with pip first"
        )
    return Package(canonicalize_name(metadata["name"]), metadata["version"], (digest,))


def _name_of(wheel: Path) -> str:
    return canonicalize_name(wheel.name.split("-")[0])


def _of_wheel(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{name}=={version}"


def _write(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _run(command: Sequence[str], name: str, lock: IO[str] | None) -> None:
    """Run an installer; while it works it holds the transaction's lock, even if this process is killed."""
    from unlabeled_registry.install.transaction import temporary_folder

    environment = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if "--isolated" in command:  # from which pip itself excepts the environment that it works on
        environment["PIP_CONFIG_FILE"] = os.devnull
    if lock is not None:
        environment["TMPDIR"] = str(temporary_folder())
    passed = () if lock is None else (lock.fileno(),)
    done = subprocess.run(command, env=environment, pass_fds=passed, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RegistryError(f"{name}: {_reason(done.stdout, done.stderr)}")


def _reason(output: str, errors: str) -> str:
    """What the installer said, in one line."""
    _, found, conflict = output.partition("The conflict is caused by:\n")
    if found:
        causes = [line.strip() for line in conflict.split("\n\n")[0].splitlines()]
        return f"{'; '.join(causes)}. What is installed is kept; ask for other versions, or --allow-core-changes"
    lines = [line.strip() for line in (errors or output).splitlines() if line.strip()]
    if lines and "No solution found" in lines[0]:  # uv's words for it; its reasons follow
        return " ".join([lines[0].strip("× "), *(line.lstrip("╰─▶│ ") for line in lines[1:5])])
    told = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("error:")]
    return "; ".join(told[:2] or lines[-2:]) or "failed without a word"
