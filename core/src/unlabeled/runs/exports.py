"""Exports: encoders as transformers checkpoints, with what `unlabeled.load` needs and a model card."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import transformers
import yaml

from unlabeled.errors import UnlabeledError
from unlabeled.runs.run import Run
from unlabeled.training.embedding import leaving_encoders
from unlabeled.training.learner import Learner
from unlabeled.training.setup import Setup

FILE = "unlabeled.json"


def export_learner(setup: Setup, learner: Learner, step: int, run: Run, folder: Path) -> list[Path]:
    """Write every leaving encoder, as it is after `step`, to `folder/<name>/`, and what objectives add; the folders written."""
    transformers.utils.logging.disable_progress_bar()
    lines = [line for line in run.read("evaluations.jsonl") if line["step"] == step]
    written = []
    for name, encoder in leaving_encoders(learner).items():
        path = folder / name
        path.mkdir(parents=True, exist_ok=True)
        encoder.eval().export(path)
        setup.modalities[name].save(path)
        entry = setup.recipe.modalities[name]
        description = {
            "format": 1,
            "name": name,
            "modality": entry.modality.dump(),
            "encoder": entry.encoder.dump(),
            "width": encoder.pooled_width,
        }
        (path / FILE).write_text(json.dumps(description, indent=1) + "\n")
        (path / "README.md").write_text(_card(setup, name, step, lines))
        written.append(path)
    for name, objective in learner.named():
        for part in objective.export(folder, learner.encoders_of(name)):
            (folder / part / "README.md").write_text(_card(setup, part, step, lines))
            written.append(folder / part)
    return written


def read_description(folder: Path) -> dict[str, Any]:
    """unlabeled.json of an export; `UnlabeledError` where this is none."""
    path = folder / FILE
    if not path.is_file():
        raise UnlabeledError(
            f"{folder}: not an export (no {FILE}); give a folder that `unlabeled export` wrote, or a run folder"
        )
    description: dict[str, Any] = json.loads(path.read_text())
    return description


def _card(setup: Setup, name: str, step: int, lines: Sequence[Mapping[str, Any]]) -> str:
    recipe = setup.recipe.dump()
    counts = ", ".join(f"{split}: {len(rows)}" for split, rows in setup.data.splits.items())
    objectives = ", ".join(entry["id"] for entry in recipe["objectives"])
    parts = [
        "---\nlibrary_name: transformers\ntags:\n- unlabeled\n- self-supervised\n---\n",
        f"# {name}\n\n{recipe['summary'] or 'Pretrained without labels.'}\n",
        f"Trained with `unlabeled` by {objectives} for {step} steps, seed {recipe['training']['seed']}.\n"
        f"Data: {recipe['data']['source']} ({counts} rows).\n",
        "## Evaluation\n\nEvery number beside its baselines: the same encoder untrained, and raw features.\n",
        _evaluation_table(lines),
        "## Recipe\n\n```yaml\n" + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True) + "```\n",
    ]
    return "\n".join(parts)


def _evaluation_table(lines: Sequence[Mapping[str, Any]]) -> str:
    if not lines:
        return "Not evaluated after this step.\n"
    rows = ["| evaluator | on | split | metric | trained | untrained | raw |", "|---|---|---|---|---|---|---|"]
    for line in lines:
        for metric, value in line["metrics"].items():
            baselines = [line["baselines"].get(part, {}).get(metric) for part in ("untrained", "raw")]
            cells = ["" if number is None else f"{number:.4f}" for number in (value, *baselines)]
            rows.append(
                f"| {line['evaluator']} | {line['on']} | {line['protocol']['test']} | {metric} | {' | '.join(cells)} |"
            )
    return "\n".join(rows) + "\n"
