"""A plugin's wheel, built from a copy of its source so that the source folder stays as it is."""

import shutil
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from unlabeled_registry.check.environment import Environment
from unlabeled_registry.check.process import StepError
from unlabeled_registry.errors import RegistryError

_LEFTOVERS = ("build", "dist", "runs")  # of the source's top folder, which no wheel is built from


def build_wheel(source: Path, environment: Environment) -> Path:
    """Build the wheel of the project in `source`; `StepError` or `RegistryError` where that cannot be."""
    isolated = environment.from_scratch or not _backend_is_installed(source)
    copy, wheels = environment.folder / "source", environment.folder / "wheels"
    try:
        shutil.copytree(source, copy, ignore=_ignored(source), ignore_dangling_symlinks=True)
    except (OSError, shutil.Error) as error:
        raise RegistryError(f"{source}: cannot be copied ({error}); check only the plugin's own folder") from None
    command = ["wheel", "--no-deps", "--disable-pip-version-check", "--wheel-dir", str(wheels), str(copy)]
    done = environment.pip(command if isolated else [*command, "--no-build-isolation"], "build")
    if done.code != 0:
        raise StepError(f"{source}: its wheel cannot be built: {done.cause}", done.log.replace(str(copy), str(source)))
    (wheel,) = wheels.iterdir()
    return wheel


def _backend_is_installed(source: Path) -> bool:
    """Whether what the project is built with is there; then it need not be downloaded. `RegistryError`: no project."""
    from packaging.requirements import InvalidRequirement, Requirement

    file = source / "pyproject.toml"
    try:
        requires = (
            tomllib.loads(file.read_text(encoding="utf-8")).get("build-system", {}).get("requires", ["setuptools"])
        )
        requirements = [Requirement(line) for line in requires]
    except FileNotFoundError:
        raise RegistryError(
            f"{source}: no pyproject.toml in it; give the folder of a plugin's project, or a wheel "
            "(`unlabeled plugins new` writes a project)"
        ) from None
    except (
        OSError,
        UnicodeDecodeError,
        tomllib.TOMLDecodeError,
        InvalidRequirement,
        AttributeError,
        TypeError,
    ) as error:
        raise RegistryError(f"{file}: cannot be read: {error}") from None
    try:
        return all(each.specifier.contains(version(each.name), prereleases=True) for each in requirements)
    except PackageNotFoundError:
        return False


def _ignored(source: Path) -> Callable[[str, list[str]], list[str]]:
    """What is not copied: hidden folders, environments, caches, and what earlier builds left."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        place = Path(folder)
        return [name for name in names if (place / name).is_dir() and _is_left_out(place / name, place == source)]

    return ignored


def _is_left_out(folder: Path, at_top: bool) -> bool:
    generated = folder.name == "__pycache__" or folder.suffix == ".egg-info" or folder.name.startswith(".")
    return generated or (at_top and folder.name in _LEFTOVERS) or (folder / "pyvenv.cfg").exists()
