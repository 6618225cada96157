"""A fresh virtual environment: empty, or one that lies over the running one, so that torch is not installed again."""

import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from unlabeled_registry.check.process import Finished, Heard, StepError, run
from unlabeled_registry.environment import CONFIG_VARIABLE
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index.wheels import Wheel

KEPT = ("torch", "torchaudio", "transformers", "accelerate", "unlabeled", "unlabeled-registry")
"""What the checked plugin shares with the running environment, and may not ask for in another version."""

EXTRA = "conformance"
"""The extra in which a plugin names what it is tried with, beside what it needs."""

INSTALL_LIMIT = 3600.0
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "UNLABELED_PLUGINS", CONFIG_VARIABLE)
# By Python's own finders: what an import would take, which a listing of the path need not show.
_WHERE = """\
import json, sys
from importlib.util import find_spec
from unlabeled_registry.discovery import distributions
folders = [d.folder for d in distributions() if d.name == sys.argv[1]]
print(json.dumps([folders, list(find_spec(sys.argv[2]).submodule_search_locations)[0]]))
"""


class Environment:
    """A virtual environment of its own for one check, in a folder that goes with it."""

    def __init__(self, folder: Path, *, from_scratch: bool) -> None:
        """Make it. from_scratch: empty but for pip; else what is installed in the running one can be imported too."""
        import venv

        self.folder = folder
        self.from_scratch = from_scratch
        with_pip = from_scratch or find_spec("pip") is None
        try:
            venv.EnvBuilder(with_pip=with_pip, symlinks=True).create(folder / "environment")
        except Exception as error:  # subprocess's and the file system's
            raise RegistryError(f"no virtual environment can be made in {folder}: {error}") from None
        base = {"base": str(folder / "environment"), "platbase": str(folder / "environment")}
        self.site = Path(sysconfig.get_path("purelib", "venv", base))
        self.python = Path(sysconfig.get_path("scripts", "venv", base)) / "python"
        if not from_scratch:
            (self.site / "running-environment.pth").write_text(_overlay(), encoding="utf-8")
        for name in ("work", "temporary"):
            (folder / name).mkdir()

    def run(
        self, arguments: Sequence[str], log: str, limit: float = INSTALL_LIMIT, heard: Heard = lambda line: None
    ) -> Finished:
        """Run this environment's Python in an empty folder, without the network of models and without outer settings."""
        return self._run(arguments, self.folder / "work", log, limit, heard)

    def pip(self, arguments: Sequence[str], log: str) -> Finished:
        """Run pip where the command was given, as its settings (PIP_FIND_LINKS=wheels) may name folders from there."""
        return self._run(["-m", "pip", *arguments], Path.cwd(), log, INSTALL_LIMIT, lambda line: None)

    def _run(self, arguments: Sequence[str], folder: Path, log: str, limit: float, heard: Heard) -> Finished:
        variables = {name: value for name, value in os.environ.items() if name not in _LEFT_OUT}
        variables |= {
            "HF_HUB_OFFLINE": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONSAFEPATH": "1",  # the folder it runs in is not on the path
            "TMPDIR": str(self.folder / "temporary"),
            "UNLABELED_CACHE": str(self.folder / "cache"),
        }
        command = [str(self.python), *arguments]
        log_file = self.folder / f"{log}.log"
        return run(command, folder=folder, variables=variables, log=log_file, limit=limit, heard=heard)

    def install(self, wheel: Wheel) -> None:
        """Install the wheel and what it needs and is not there yet; `StepError` where pip cannot."""
        pip = ["install", "--only-binary", ":all:", "--disable-pip-version-check"]
        wanted = [f"{wheel.path}[{EXTRA}]"]
        if not self.from_scratch:
            self._pip([*pip, "--no-deps", "--ignore-installed", str(wheel.path)], wheel)
            wanted = missing(wheel)
        if wanted:
            self._pip([*pip, *wanted], wheel)
        self._prove_origin(wheel)

    def _pip(self, command: Sequence[str], wheel: Wheel) -> None:
        done = self.pip(command, "install")
        if done.code != 0:
            raise StepError(
                f"{wheel.path.name}: cannot be installed: {done.cause}; mend `dependencies` in pyproject.toml", done.log
            )

    def _prove_origin(self, wheel: Wheel) -> None:
        """`RegistryError` where another copy of the plugin would be imported than the one that was just installed."""
        import json

        done = self.run(["-c", _WHERE, wheel.name, wheel.package], "origin")
        try:
            folders, package = json.loads(done.log.splitlines()[-1])
        except (ValueError, IndexError):
            cause = f"{done.cause}; it must depend on unlabeled"
            raise StepError(f"{wheel.path.name}: unlabeled cannot be used beside it: {cause}", done.log) from None
        for place in (*folders, package):
            if Path(place).parent.resolve() != self.site.resolve():
                raise RegistryError(
                    f"{wheel.name}: another copy in {place} hides the wheel's; uninstall it (pip uninstall {wheel.name})"
                )


def missing(wheel: Wheel) -> list[str]:
    """What the wheel requires, to be checked too, and is not installed here; `RegistryError` where it contradicts that."""
    from packaging.requirements import Requirement

    unmet = []
    for line in wheel.requires_dist:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": EXTRA}):
            continue
        requirement.marker = None  # which pip would read without the extra
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            unmet.append(str(requirement))
            continue
        fits = requirement.specifier.contains(installed, prereleases=True)
        if not fits and requirement.name.lower() in KEPT:
            raise RegistryError(
                f"{wheel.name} requires {requirement}, and {installed} is installed here; widen that in pyproject.toml, "
                "or check with --from-scratch"
            )
        if not fits or requirement.extras:
            unmet.append(str(requirement))
    return unmet


def _overlay() -> str:
    """One line that adds the running import path behind the environment's own, with the .pth files in it."""
    library = {Path(path).resolve() for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))}
    library |= {path / "lib-dynload" for path in library}
    folders = [path for path in sys.path if os.path.isdir(path) and Path(path).resolve() not in library]
    return f"import site; list(map(site.addsitedir, {folders!r}))\n"
