"""Python's way in: train, evaluate, export, load. The command line calls the same functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from torch import nn

from unlabeled.data.cache import BadCell
from unlabeled.data.reader import Example, decode
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.draws import hash_key
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.modality import Modality
from unlabeled.recipes.load import load_recipe
from unlabeled.recipes.resolve import ResolvedRecipe, resolve
from unlabeled.recipes.schema import EvaluationEntry
from unlabeled.runs.evaluation import evaluate_learner, print_evaluations, with_evaluators
from unlabeled.runs.exports import export_learner, read_description
from unlabeled.runs.loading import NEWEST, load_run
from unlabeled.runs.prepare import prepare
from unlabeled.runs.report import write_report
from unlabeled.runs.run import Run
from unlabeled.training.embedding import embed_batch, plain_batch
from unlabeled.training.learner import Learner
from unlabeled.training.processes.launch import start_accelerator
from unlabeled.training.setup import Setup
from unlabeled.training.trainer import Trainer
from unlabeled_registry.hooks import Hooks
from unlabeled_registry.registry import Registry, discover


def train(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    run: str | Path | None = None,
    quiet: bool = False,
) -> Run:
    """Train a recipe (a name, a file, or its mapping) in a run folder, evaluate and export; continue what lies there.

    `UnlabeledError` lists every problem before any data or model is touched; problems of the data follow.
    """
    registry = discover()
    resolved = resolve(load_recipe(recipe, overrides, registry), registry)
    announce_recipe(resolved, registry, quiet=quiet)
    accelerator = start_accelerator(resolved)
    folder = Run(Path(run) if run is not None else default_folder(recipe, resolved))
    setup = prepare(resolved, registry, folder)
    trainer = Trainer(setup, folder, accelerator, evaluate_learner, quiet=quiet)
    trainer.fit()
    learner = trainer.whole_learner()
    if accelerator.is_main_process:
        export_learner(setup, learner, trainer.state.step, folder, folder.exports)
        if not quiet:
            console = Console()
            lines = folder.read("evaluations.jsonl")
            print_evaluations([line for line in lines if line["step"] == trainer.state.step], console)
            report = write_report(folder, setup, learner)
            console.print(f"report: {report}\nexports: {folder.exports}", highlight=False, soft_wrap=True)
    return folder


def evaluate(
    target: str | Path,
    evaluators: Sequence[str] = (),
    overrides: Sequence[str] = (),
    *,
    checkpoint: str | int = NEWEST,
) -> list[dict[str, Any]]:
    """Evaluate a run by its recipe's evaluators, or by those named; appended to its evaluations.jsonl.

    overrides: `data.*` and `evaluation.*` keys that take the place of the run's. checkpoint: `newest`, `best` (by
    training.keep_best) or a step.
    """
    run = Run(Path(target))
    setup, learner, step = load_run(run, overrides, checkpoint)
    if evaluators:
        known = {item.id: (entry, item) for entry, item in setup.recipe.evaluators}
        chosen = []
        for name in evaluators:
            component = setup.registry.find("evaluator", name)
            chosen.append(known.get(component.id) or _default_evaluator(component.id, setup))
        setup = with_evaluators(setup, chosen)
    lines = evaluate_learner(setup, learner, step)
    run.append("evaluations.jsonl", lines)
    return lines


def export(target: str | Path, folder: str | Path, *, checkpoint: str | int = NEWEST) -> list[Path]:
    """Write a run's encoders as transformers checkpoints with their processors and model cards; the folders written.

    checkpoint: `newest`, `best` (by training.keep_best) or a step.
    """
    run = Run(Path(target))
    setup, learner, step = load_run(run, checkpoint=checkpoint)
    try:
        return export_learner(setup, learner, step, run, Path(folder))
    except OSError as error:
        raise UnlabeledError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None


@dataclass(frozen=True)
class LoadedEncoder:
    """An exported encoder, ready to embed cells of its modality."""

    name: str
    modality: Modality
    encoder: Encoder

    def embed(self, cells: Sequence[Any], batch_size: int = 64) -> np.ndarray:
        """(len(cells), D) float32 pooled features. `UnlabeledError` names the first cell that cannot be decoded."""
        learner = Learner({self.name: self.encoder}, {}, {})
        parts = []
        for start in range(0, len(cells), batch_size):
            examples = []
            for number, cell in enumerate(cells[start : start + batch_size], start):
                try:
                    sample = decode(self.modality, cell, self.name)
                except BadCell as bad:
                    raise UnlabeledError(f"cell {number}: {bad}") from None
                examples.append(Example(number, {self.name: sample}, {self.name: cell is not None}))
            batch = plain_batch(self.modality, self.name, examples)
            parts.append(embed_batch(learner, self.name, batch).float().cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros((0, self.encoder.pooled_width), dtype=np.float32)


def load(path: str | Path) -> dict[str, LoadedEncoder]:
    """Encoder name -> encoder, of a run folder, an export folder, or one encoder's folder in it."""
    root = Path(path)
    if (root / "recipe.yaml").is_file():
        root = Run(root).exports
    folders = (
        [root] if (root / "unlabeled.json").is_file() else sorted(item.parent for item in root.glob("*/unlabeled.json"))
    )
    if not folders:
        read_description(root)
    registry = discover()
    return {encoder.name: encoder for encoder in (_load_encoder(folder, registry) for folder in folders)}


def announce_recipe(recipe: ResolvedRecipe, registry: Registry, *, quiet: bool = False) -> None:
    """Tell the hooks of the plugins in use, and of those that hear of every run, that a recipe was loaded."""
    report = Console(stderr=True, quiet=quiet, soft_wrap=True).print
    for problem in registry.import_hooks():
        report(f"warning: {problem}")
    hooks = Hooks(report)
    for name, package in registry.packages().items():
        hooks.register(name, package)
    hooks.call("recipe_loaded", recipe=recipe.dump())


def default_folder(recipe: str | Path | Mapping[str, Any], resolved: ResolvedRecipe) -> Path:
    """`runs/NAME-HASH`: the same command finds the same folder again, another recipe another one."""
    name = Path(str(recipe)).stem if isinstance(recipe, str | Path) else "recipe"
    return Path("runs") / f"{name}-{hash_key(resolved.dump()) % 2**32:08x}"


def _default_evaluator(id_: str, setup: Setup) -> tuple[EvaluationEntry, Any]:
    recipe = {**setup.recipe.dump(), "evaluation": [{"id": id_}]}
    return resolve(recipe, setup.registry).evaluators[0]


def _load_encoder(folder: Path, registry: Registry) -> LoadedEncoder:
    description = read_description(folder)
    modality: Modality = _build(registry, "modality", description["modality"])
    modality.restore(folder)
    encoder: Encoder = _build(registry, "encoder", description["encoder"], modality)
    encoder.restore(folder)
    encoder.eval()
    assert isinstance(encoder, nn.Module)
    return LoadedEncoder(str(description["name"]), modality, encoder)


def _build(registry: Registry, kind: str, entry: Mapping[str, Any], *arguments: Any) -> Any:
    options = dict(entry)
    found = registry.load(registry.find(kind, options.pop("id")))
    return found(found.Config.model_validate(options), *arguments)
