"""A run as it was trained: its setup, with the weights of one of its checkpoints."""

from collections.abc import Sequence

from rich.console import Console

from unlabeled.data.quarantine import CUT_OFF_FILE, CutOff
from unlabeled.errors import UnlabeledError
from unlabeled.recipes.overrides import apply_overrides
from unlabeled.recipes.resolve import resolve
from unlabeled.runs.run import Run
from unlabeled.training.checkpoints.checkpoint import (
    FoundCheckpoint,
    checkpoint_step,
    find_newest,
    list_checkpoints,
    load_checkpoint,
    restore_module,
)
from unlabeled.training.learner import Learner
from unlabeled.training.setup import Setup, fit_modalities, open_data
from unlabeled_registry.registry import discover

NEWEST, BEST = "newest", "best"


def load_run(run: Run, overrides: Sequence[str] = (), checkpoint: str | int = NEWEST) -> tuple[Setup, Learner, int]:
    """A run's setup, its learner with the weights of a checkpoint, and the step of that.

    checkpoint: `newest` (sound) one, the `best` by training.keep_best, or that of a step. `UnlabeledError` where there is none.
    """
    registry = discover()
    recipe = resolve(apply_overrides(run.recipe, list(overrides)), registry)
    found = _find(run, str(checkpoint))
    data = open_data(recipe.recipe.data, recipe, registry)
    cut_off = CutOff(run.folder / CUT_OFF_FILE)
    setup = Setup(recipe, registry, data, fit_modalities(recipe, None, run.modalities), run.modalities, cut_off)
    for problem in found.passed_over:
        Console(stderr=True, soft_wrap=True).print(f"{problem}; passed over", highlight=False, markup=False)
    learner = setup.learner(
        setup.facts(max(len(setup.reader(data.splits["train"])), recipe.recipe.training.batch_size))
    )
    restore_module(learner, found)
    return setup, learner, checkpoint_step(found.path)


def _find(run: Run, wanted: str) -> FoundCheckpoint:
    if wanted.isdecimal():
        return _of_step(run, int(wanted))
    if wanted not in (NEWEST, BEST):
        raise UnlabeledError(f"--checkpoint {wanted}: is neither a step nor {NEWEST} nor {BEST}")
    newest = find_newest(run.checkpoints)
    if newest is None:
        raise UnlabeledError(f"{run.checkpoints}: no checkpoint; train the run first")
    if wanted == NEWEST:
        return newest
    best = newest.checkpoint.trainer.get("best")
    if best is None:
        raise UnlabeledError(
            f"{run.folder}: keeps no best checkpoint; train with training.keep_best={{metric: NAME, mode: max}}, or give a step"
        )
    return _of_step(run, best["step"])


def _of_step(run: Run, step: int) -> FoundCheckpoint:
    paths = {checkpoint_step(path): path for path in list_checkpoints(run.checkpoints)}
    if step not in paths:
        raise UnlabeledError(
            f"{run.checkpoints}: no checkpoint of step {step}; there are: {', '.join(map(str, paths)) or 'none'}"
        )
    return FoundCheckpoint(paths[step], load_checkpoint(paths[step]), ())
