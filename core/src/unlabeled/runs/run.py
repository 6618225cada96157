"""A run folder: recipe, lock, metrics, checkpoints, evaluations, exports."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unlabeled.errors import UnlabeledError

# What may differ between two starts of the same run: none of it changes a result, but for the steps that are to be skipped.
_FREE = {
    "data.workers",
    "data.decode_timeout",
    "data.cache",
    "training.threads",
    "training.device",
    "training.keep_checkpoints",
    "training.keep_every",
    "training.keep_best",
    "training.max_time",
    "training.max_bad_steps",
    "training.skip_steps",
    "training.stop_on_collapse",
}
_JSONL = ("metrics.jsonl", "timings.jsonl", "evaluations.jsonl", "quarantine.jsonl", "incidents.jsonl")


@dataclass(frozen=True)
class Run:
    """Where everything of a run lies."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def modalities(self) -> Path:
        """What modalities learned from the data, a folder each."""
        return self.folder / "modalities"

    @property
    def exports(self) -> Path:
        return self.folder / "export"

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe; `UnlabeledError` where this is no run."""
        path = self.folder / "recipe.yaml"
        if not path.is_file():
            raise UnlabeledError(
                f"{self.folder}: not a run folder (no recipe.yaml); give the folder that `train --run` wrote"
            )
        recipe: dict[str, Any] = yaml.safe_load(path.read_text())
        return recipe

    def start(self, recipe: Mapping[str, Any], lock: Mapping[str, Any]) -> None:
        """Write recipe and lock, or check that they are those of the run that lies here."""
        if (self.folder / "recipe.yaml").is_file():
            differences = _differences(self.recipe, recipe)
            if differences:
                shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
                raise UnlabeledError(f"{self.folder}: holds a run of another recipe ({shown}); give another --run")
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "lock.json").write_text(json.dumps(lock, indent=1) + "\n")
            _write_aside(self.folder / "recipe.yaml", yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True))
        except OSError as error:
            raise UnlabeledError(f"{self.folder}: cannot be written ({error.strerror}); give another --run") from None

    def append(self, name: str, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to one of the run's .jsonl files."""
        if lines:
            try:
                with open(self.folder / name, "a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line) + "\n" for line in lines)
            except OSError as error:
                raise UnlabeledError(
                    f"{self.folder / name}: cannot be written ({error.strerror}); free or unlock the disk, and the same "
                    "command continues from the newest checkpoint"
                ) from None

    def read(self, name: str) -> list[dict[str, Any]]:
        """The lines of one of the run's .jsonl files."""
        path = self.folder / name
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()]

    def cut(self, step: int) -> None:
        """Drop the lines that lie after a checkpoint's step: they will be written again."""
        for name in _JSONL:
            path = self.folder / name
            if path.is_file():
                lines = path.read_text().splitlines()
                kept = [line for line in lines if _step_of(line) is not None and (_step_of(line) or 0) <= step]
                _write_aside(path, "".join(line + "\n" for line in kept))


def _step_of(line: str) -> int | None:
    """The step of a line; None for one that a kill cut short."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _write_aside(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def binding(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of everything in a recipe that a result depends on."""
    return {key: value for key, value in _flat(json.loads(json.dumps(recipe))).items() if not _is_free(key)}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Dotted keys whose values differ, both told."""
    flat_old, flat_new = binding(old), binding(new)
    keys = [key for key in {**flat_old, **flat_new} if flat_old.get(key) != flat_new.get(key)]
    return [f"{key}: {flat_old.get(key)}, not {flat_new.get(key)}" for key in keys]


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return {prefix: value}
    return {
        key: leaf
        for name, inner in items
        for key, leaf in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()
    }
