"""What comes before training: the data opened, the processes agreed, the run folder begun, the modalities fitted."""

from rich.console import Console

from unlabeled.data.quarantine import CUT_OFF_FILE, CutOff
from unlabeled.errors import UnlabeledError
from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.runs.lock import compare_plugins, facts, make_lock
from unlabeled.runs.run import Run, binding
from unlabeled.training.processes.agreement import agree, together
from unlabeled.training.processes.distributed import first_of_node, process_index
from unlabeled.training.setup import Data, Setup, check_evaluation, fit_modalities, open_data
from unlabeled_registry.registry import Registry


def prepare(recipe: ResolvedRecipe, registry: Registry, run: Run) -> Setup:
    """Open the data and fit the modalities; the first process works, the others read what it saved.

    `UnlabeledError` on all processes where one has a problem, or another recipe, plugin, library or data than the first.
    """
    data = together(lambda: _open(recipe, registry))
    lock = make_lock(recipe, registry, data)
    agree({"the recipes": binding(recipe.dump()), **facts(lock)})
    first = process_index() == 0

    def begin() -> Setup | None:
        if not first:
            return None
        if told := compare_plugins(lock, run.folder):
            Console(stderr=True, soft_wrap=True).print(told, highlight=False, markup=False)
        run.start(recipe.dump(), lock)
        return _fit(recipe, registry, data, run, fit=True)

    begun = together(begin)
    # A machine that does not see the first one's cache fills its own, once.
    own = together(lambda: _fit(recipe, registry, data, run) if first_of_node() and not first else None)
    return begun or own or _fit(recipe, registry, data, run)


def _open(recipe: ResolvedRecipe, registry: Registry) -> Data:
    data = open_data(recipe.recipe.data, recipe, registry)
    if "train" not in data.splits:
        raise UnlabeledError(f"data.splits.train: missing; the data have: {', '.join(data.splits)}")
    check_evaluation(recipe, data)
    return data


def _fit(recipe: ResolvedRecipe, registry: Registry, data: Data, run: Run, *, fit: bool = False) -> Setup:
    modalities = fit_modalities(recipe, data if fit else None, run.modalities)
    cut_off = CutOff(run.folder / CUT_OFF_FILE, writes=process_index() == 0)
    setup = Setup(recipe, registry, data, modalities, run.modalities, cut_off)
    setup.facts(len(setup.reader(data.splits["train"])))
    return setup
