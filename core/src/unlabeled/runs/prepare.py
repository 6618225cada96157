"""What comes before training: the data opened, the modalities fitted, the run folder begun."""

from unlabeled.data.quarantine import CUT_OFF_FILE, CutOff
from unlabeled.errors import UnlabeledError
from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.runs.lock import make_lock
from unlabeled.runs.run import Run
from unlabeled.training.distributed import process_index, wait_for_all
from unlabeled.training.setup import Setup, check_evaluation, fit_modalities, open_data
from unlabeled_registry.registry import Registry


def prepare(recipe: ResolvedRecipe, registry: Registry, run: Run) -> Setup:
    """Open the data and fit the modalities; the first process works, the others read what it saved."""
    data = open_data(recipe.recipe.data, recipe, registry)
    if "train" not in data.splits:
        raise UnlabeledError(f"data.splits.train: missing; the data have: {', '.join(data.splits)}")
    check_evaluation(recipe, data)
    if process_index() == 0:
        run.start(recipe.dump(), make_lock(recipe, registry, data))
        modalities = fit_modalities(recipe, data, run.modalities)
        cut_off = CutOff(run.folder / CUT_OFF_FILE, writes=True)
        setup = Setup(recipe, registry, data, modalities, run.modalities, cut_off)
        setup.facts(len(setup.reader(data.splits["train"])))
    wait_for_all()
    if process_index() != 0:
        cut_off = CutOff(run.folder / CUT_OFF_FILE)
        setup = Setup(recipe, registry, data, fit_modalities(recipe, data, run.modalities), run.modalities, cut_off)
    return setup
