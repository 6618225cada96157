"""From a resolved recipe to everything a run or an evaluation works with: data, fitted modalities, readers, learner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unlabeled.data.loader import check_size
from unlabeled.data.order import steps_per_epoch
from unlabeled.data.quarantine import CutOff
from unlabeled.data.reader import Decoding, Reader
from unlabeled.data.splits import Split, choose_columns, open_splits
from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.modality import Modality
from unlabeled.interfaces.objective import Facts
from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.recipes.schema import DataConfig
from unlabeled.training.learner import Learner, build_learner
from unlabeled_registry.registry import Registry

_FITTED = "fitted"


@dataclass(frozen=True)
class Data:
    """The splits of a data set, and the columns that feed each encoder."""

    config: DataConfig
    splits: Mapping[str, Split]
    columns: Mapping[str, Sequence[str]]

    @property
    def fingerprint(self) -> dict[str, str]:
        """Split -> digest of its rows."""
        return {name: split.fingerprint for name, split in self.splits.items()}

    def describe(self) -> dict[str, object]:
        """What evaluations.jsonl says of the data."""
        return {"source": self.config.source, "samples": {name: len(split) for name, split in self.splits.items()}}


@dataclass
class Setup:
    """A recipe with its data opened and its modalities fitted."""

    recipe: ResolvedRecipe
    registry: Registry
    data: Data
    modalities: Mapping[str, Modality]
    fitted: Path
    """The folder in which each modality saved what it learned."""
    cut_off: CutOff = field(default_factory=CutOff)
    """The cells whose decoder hung or ended its process, in this run."""

    def reader(self, split: Split, columns: Mapping[str, Sequence[str]] | None = None) -> Reader:
        """A reader of some split; decoded samples come from the cache where that pays."""
        decoding = Decoding(self.data.config.workers, self.data.config.decode_timeout, self.cut_off)
        reader = Reader(split, self.modalities, columns or self.data.columns, decoding)
        reader.prepare({name: self.fitted / name for name in self.modalities}, cache=self.data.config.cache)
        return reader

    def facts(self, samples: int) -> Facts:
        """What objectives are told of the run; `UnlabeledError` where an epoch has no step."""
        training = self.recipe.recipe.training
        check_size(samples, training.batch_size, training.drop_last)
        per_epoch = steps_per_epoch(samples, training.batch_size, training.drop_last)
        steps = training.steps if training.steps is not None else max(1, round(per_epoch * (training.epochs or 0)))
        if training.skip_steps and training.skip_steps[-1][1] > steps:
            raise UnlabeledError(
                f"training.skip_steps: {list(training.skip_steps[-1])} lies after the last step, {steps}; give steps up to it"
            )
        return Facts(samples, training.batch_size, steps, steps / per_epoch)

    def learner(self, facts: Facts) -> Learner:
        """The learner with its initial weights."""
        try:
            return build_learner(self.recipe, self.modalities, facts)
        except (ValueError, NotImplementedError) as error:
            raise UnlabeledError(f"recipe: the model cannot be built: {error}") from None


def open_data(config: DataConfig, recipe: ResolvedRecipe, registry: Registry) -> Data:
    """Open every split and find the columns; `UnlabeledError` lists what is wrong with the data."""
    splits = open_splits(config, registry)
    types = {name: entry.modality.type.columns for name, entry in recipe.modalities.items()}
    columns: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for split in splits.values():
        try:
            columns = columns or choose_columns(config, split.source, types)
            choose_columns(
                config.model_copy(update={"columns": {k: list(v) for k, v in columns.items()}}), split.source, types
            )
        except UnlabeledError as error:
            problems += error.problems
    if problems:
        raise UnlabeledError(*dict.fromkeys(problems))
    return Data(config, splits, columns)


def check_evaluation(recipe: ResolvedRecipe, data: Data) -> None:
    """`UnlabeledError` where an evaluator asks for a split that the run's data do not have."""
    problems = []
    for number, (entry, _) in enumerate(recipe.evaluators):
        if entry.data is not None:
            continue
        there = ", ".join(data.splits)
        for key, name in (("train", entry.train), ("test", entry.test)):
            if name is not None and name not in data.splits:
                problems.append(f"evaluation.{number}.{key}: no split {name} in the data; there are: {there}")
        if entry.test is None and not {"test", "validation"} & set(data.splits):
            problems.append(
                f"evaluation.{number}.test: no split to score on; there are: {there}; name one under data.splits.test"
            )
        label = entry.label
        first = next(iter(data.splits.values()))
        if label is not None and label not in first.source.columns:
            problems.append(
                f"evaluation.{number}.label: no column {label}; there are: {', '.join(first.source.columns)}"
            )
    if problems:
        raise UnlabeledError(*problems)


def fit_modalities(recipe: ResolvedRecipe, data: Data | None, folder: Path) -> dict[str, Modality]:
    """Modalities that know what they learn from data: restored from `folder`, else fitted on the training split and saved."""
    modalities: dict[str, Modality] = {}
    for name, entry in recipe.modalities.items():
        modality: Modality = entry.modality.build()
        own = folder / name
        if (own / _FITTED).is_file():
            modality.restore(own)
        elif data is None:
            raise UnlabeledError(f"{own}: missing; train the run again, in a folder that every machine sees")
        else:
            own.mkdir(parents=True, exist_ok=True)
            try:
                modality.fit(data.splits["train"].cells(data.columns[name]))
            except ValueError as error:
                raise UnlabeledError(f"data.columns.{name}: {error}") from None
            modality.save(own)
            (own / _FITTED).touch()
        modalities[name] = modality
    return modalities
