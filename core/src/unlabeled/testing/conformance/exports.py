"""Exports of all encoders of a plugin, loaded by a fresh process; one process answers for all of them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from unlabeled.runs.exports import FILE
from unlabeled.testing.conformance import fresh as script
from unlabeled.testing.conformance.bench import Bench
from unlabeled_registry.errors import one_line
from unlabeled_registry.manifest import Component

_SECONDS = 120.0


@dataclass(frozen=True)
class Fresh:
    """What a fresh process said."""

    importing: str
    """What importing the plugin changes; nothing where it is clean."""
    exports: Mapping[str, str]
    """Encoder's id -> what is wrong with its export; nothing where it is sound."""


def export(bench: Bench, component: Component) -> None:
    """The export of an encoder loads in a fresh process, with equal features and all weights."""
    problem = fresh(bench).exports[component.id]
    if problem:
        raise AssertionError(f"{component.id}: {problem}")


def fresh(bench: Bench) -> Fresh:
    """Export all encoders and ask a fresh process, once."""
    found: Fresh = bench.once("fresh", lambda: _ask(bench))
    return found


def _ask(bench: Bench) -> Fresh:
    folders: dict[str, str] = {}
    problems: dict[str, str] = {}
    for component in bench.plugin.components:
        if component.kind == "encoder":
            try:
                folders[component.id] = str(_write(bench, component))
            except Exception as error:  # told where the encoder's export is asked for
                problems[component.id] = f"cannot be exported: {one_line(error)}"
    modules = sorted(
        {part.object.partition(":")[0] for part in bench.plugin.components if part.kind != "recipe"}
        or {bench.plugin.manifest.package if bench.plugin.manifest else ""}
    )
    answer = _run({"folders": folders, "modules": modules})
    return Fresh(answer["importing"], {**problems, **answer["exports"]})


def _write(bench: Bench, component: Component) -> Path:
    """An export as `unlabeled export` writes one, with a batch and the features that it must give again."""
    case, tried = bench.encoder_case(component), bench.tried(component, trained=False)
    folder = bench.folder()
    case.encoder.export(folder)
    tried.modality.save(folder)
    entry = tried.recipe.modalities[tried.name]
    description = {
        "format": 1,
        "name": tried.name,
        "modality": entry.modality.dump(),
        "encoder": entry.encoder.dump(),
        "width": case.encoder.pooled_width,
    }
    (folder / FILE).write_text(json.dumps(description))
    extra = {name: value for name, value in case.batch.extra.items() if isinstance(value, torch.Tensor)}
    tensors = {
        **{f"inputs/{name}": value for name, value in case.batch.inputs.items()},
        **{f"extra/{name}": value for name, value in extra.items()},
        "ids": case.batch.ids,
        "present": case.batch.present,
        "pooled": case.pooled,
    }
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, folder / script.BATCH)
    return folder


def _run(question: Mapping[str, object]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment |= {"HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            [sys.executable, script.__file__],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            env=environment,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(f"a fresh process gave no answer within {_SECONDS:g} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise AssertionError(f"a fresh process that imports the plugin ended with {done.returncode}: {words}")
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer
