"""The bench: a plugin's components built in small sizes with what they need beside them, and the cases to check.

What takes long is built once and copied for each check, so that a check which breaks its case breaks no other.
"""

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from unlabeled.data.cache import BadCell
from unlabeled.data.loader import MicroBatch, collate, collate_views
from unlabeled.data.reader import Example, decode
from unlabeled.interfaces.augmentation import Masking
from unlabeled.interfaces.batch import Batch, Layout, View
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.evaluator import EvaluationContext
from unlabeled.interfaces.modality import Modality, Sample
from unlabeled.recipes.problems import describe
from unlabeled.recipes.resolve import Resolved, ResolvedModality, ResolvedRecipe, resolve
from unlabeled.recipes.schema import DataConfig, EvaluationEntry, Recipe, TrainingConfig
from unlabeled.runs.evaluation import BASELINES, label_of
from unlabeled.runs.features import FeatureStore, StoredData, StoredSubject
from unlabeled.testing.augmentations import MaskingCase, TransformCase
from unlabeled.testing.conformance.companions import Companions, Missing
from unlabeled.testing.encoders import EncoderCase
from unlabeled.testing.evaluators import EvaluatorCase
from unlabeled.testing.modalities import ModalityCase
from unlabeled.testing.objectives import ObjectiveCase
from unlabeled.testing.processes import Processes
from unlabeled.testing.sources import SourceCase
from unlabeled.training.learner import Learner
from unlabeled.training.setup import Data, Setup, fit_modalities, open_data
from unlabeled.training.views import ViewBuilder
from unlabeled_registry.manifest import Component
from unlabeled_registry.negotiation import encoders_of
from unlabeled_registry.registry import Plugin, Registry
from unlabeled_registry.schema import ANY

ROWS = 6
ABSENT = 2
"""The row whose cell is missing, where the modality has a blank."""


@dataclass(frozen=True)
class Tried:
    """A recipe with its data opened, its modalities fitted and some rows decoded."""

    recipe: ResolvedRecipe
    setup: Setup
    examples: Sequence[Example]
    cells: Mapping[str, Sequence[Any]]
    """Encoder's name -> the cells of the examples."""

    @property
    def name(self) -> str:
        """The first encoder's."""
        return next(iter(self.setup.modalities))

    @property
    def modality(self) -> Modality:
        return self.setup.modalities[self.name]

    def unfitted(self) -> Modality:
        """The first modality, as before `fit`."""
        modality: Modality = self.recipe.modalities[self.name].modality.build()
        return modality

    def samples(self) -> list[Sample]:
        """The examples of the first modality as evaluation takes them."""
        return [
            self.modality.take(
                example.samples[self.name], Draws(0, 0, torch.tensor([example.id]), self.name, "plain"), "plain"
            )
            for example in self.examples
        ]

    def batch(self, rows: slice = slice(None)) -> Batch:
        """Some of the examples as a batch of the first modality."""
        examples = self.examples[rows]
        ids = torch.tensor([example.id for example in examples])
        return collate(self.modality, self.samples()[rows], ids, torch.ones(len(examples), dtype=torch.bool))

    def view(self, rows: slice = slice(None)) -> View:
        """Some of the examples as a view of the first modality."""
        batch = self.batch(rows)
        return View(batch.inputs, batch.ids, batch.present, batch.extra, encoder=self.name, role="weak")


class Bench:
    """Where the components of one plugin are tried. Use it in a `with` block: it holds files and processes."""

    def __init__(self, registry: Registry, plugin: Plugin) -> None:
        self.registry, self.plugin = registry, plugin
        self.companions = Companions(registry, plugin)
        self._files = tempfile.TemporaryDirectory(prefix="unlabeled-conformance-")
        self._kept: dict[Any, Any] = {}
        self._processes: Processes | None = None

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._processes is not None:
            self._processes.__exit__(kind, error, trace)
        self._files.cleanup()

    @property
    def processes(self) -> Processes:
        """Two processes, started when first asked for."""
        if self._processes is None:
            self._processes = Processes(2)
        return self._processes

    def folder(self) -> Path:
        """An empty folder, which lasts as long as the bench."""
        return Path(tempfile.mkdtemp(dir=self._files.name))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once; its error is raised each time."""
        if key not in self._kept:
            try:
                self._kept[key] = make()
            except Exception as error:
                self._kept[key] = error
        found = self._kept[key]
        if isinstance(found, Exception):
            raise found
        return found

    def resolved(self, component: Component) -> Resolved:
        """The component with the options it is tried with; AssertionError where they are refused."""
        return self.entry(component.kind, self.companions.entry(component))

    def tried(self, component: Component, *, trained: bool = True, **training: Any) -> Tried:
        """The recipe in which a component is tried, ready to be run."""
        key = ("tried", component.id, component.kind, trained, str(training))
        found: Tried = self.once(key, lambda: self._try(self.recipe(component, trained=trained, **training)))
        return found

    def recipe(self, component: Component, *, trained: bool = True, **training: Any) -> dict[str, Any]:
        """The recipe in which a component is tried."""
        recipe = self.companions.recipe(component, trained=trained)
        return {**recipe, "training": {**recipe["training"], **training}}

    def learner(self, component: Component, **training: Any) -> Learner:
        """A copy of the learner of the component's recipe, with its initial weights."""

        def build() -> Learner:
            setup = self.tried(component, **training).setup
            return setup.learner(setup.facts(len(setup.data.splits["train"])))

        learner: Learner = self.once(("learner", component.id, component.kind, str(training)), build)
        return copy.deepcopy(learner)

    def modality_case(self, component: Component) -> ModalityCase:
        """Of a modality."""
        tried = self.tried(component, trained=False)
        return ModalityCase(copy.deepcopy(tried.modality), tried.unfitted, tried.cells[tried.name], component.dense)

    def encoder_case(self, component: Component) -> EncoderCase:
        """Of an encoder."""
        tried = self.tried(component, trained=False)

        def build() -> Encoder:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                encoder: Encoder = tried.recipe.modalities[tried.name].encoder.build(tried.modality)
            return encoder

        encoder: Encoder = copy.deepcopy(self.once(("encoder", component.id), build))
        return EncoderCase(encoder.eval(), tried.batch(), tried.batch, larger=_larger(tried))

    def objective_case(self, component: Component) -> ObjectiveCase:
        """Of an objective, or of the one that a component is trained with: in float64, without dropout."""
        tried = self.tried(component, precision="float64")
        learner = still(self.learner(component, precision="float64"))
        builder = ViewBuilder.of(tried.recipe)
        (name, objective), *_ = learner.named()

        def cut(rows: slice) -> list[View]:
            batches = collate_views(tried.examples[rows], builder.all_keys(), tried.setup.modalities, 0, 0)
            device = torch.device("cpu")
            return builder.build(MicroBatch(0, batches), learner, seed=0, step=0, device=device)[name]

        return ObjectiveCase(objective, learner.encoders_of(name), cut(slice(None)), cut)

    def evaluator_case(self, component: Component) -> EvaluatorCase:
        """Of an evaluator: "trained" are the same networks of another seed."""
        tried = self.tried(component)
        setup, resolved = tried.setup, self.resolved(component)
        learners = {"trained": self.learner(component, seed=1), "untrained": self.learner(component)}
        store = FeatureStore(setup, setup.data, learners)
        entry = EvaluationEntry(id=component.id)
        test = "test" if "test" in setup.data.splits else "validation"
        context = EvaluationContext(0, "train", test, label_of(entry, setup.data))
        if resolved.type.needs_label and context.label is None:
            raise Missing(f"{component.id} needs labels, which the data lack; name data.label in conformance.toml")

        def subjects() -> list[StoredSubject]:
            return [StoredSubject(name, store) for name in ("trained", *BASELINES)]

        return EvaluatorCase(resolved.build, subjects, StoredData(store), context, learners)

    def source_case(self, component: Component) -> SourceCase:
        """Of a source."""
        resolved = self.resolved(component)
        return SourceCase(resolved.type, resolved.config)

    def augmentation_cases(self, component: Component) -> list[TransformCase | MaskingCase]:
        """Of an augmentation: a transform on the modality it takes, a masking on layouts of one, two and three axes."""
        resolved = self.resolved(component)
        augmentation = resolved.build()
        if isinstance(augmentation, Masking):
            return _masking_cases(
                augmentation, synthetic_layouts() if ANY in component.modalities else [self._layout(component)]
            )
        tried = self.tried(component, trained=False)
        return [TransformCase(augmentation, tried.view(), tried.view)]

    def _layout(self, component: Component) -> Layout:
        """Of the tokens of the first encoder that has them, of a modality that the component takes."""
        for modality in self.registry.components("modality"):
            if not component.takes(modality):
                continue
            for encoder in encoders_of(modality, self.registry.components("encoder")):
                if "tokens" in encoder.provides:
                    case = self.encoder_case(encoder)
                    return case.encoder.layout(case.batch)
        raise Missing(f"{component.id} cannot be tried: no installed encoder of its modalities has tokens")

    def _try(self, recipe: Mapping[str, Any]) -> Tried:
        resolved = resolve(recipe, self.registry) if "objectives" in recipe else self._untrained(recipe)
        data = open_data(resolved.recipe.data, resolved, self.registry)
        folder = self.folder()
        setup = Setup(resolved, self.registry, data, fit_modalities(resolved, data, folder), folder)
        cells = {name: _cells(data, name, modality) for name, modality in setup.modalities.items()}
        missing = "objectives" in recipe and _has_blank(next(iter(setup.modalities.values())))
        examples = [_example(row, cells, setup.modalities, missing and row == ABSENT) for row in range(ROWS)]
        return Tried(resolved, setup, examples, cells)

    def _untrained(self, recipe: Mapping[str, Any]) -> ResolvedRecipe:
        """A recipe without objective, which is none to `resolve`."""
        modalities = {}
        for name, entry in recipe["modalities"].items():
            modality = self.entry("modality", {key: value for key, value in entry.items() if key != "encoder"})
            modalities[name] = ResolvedModality(modality, self.entry("encoder", entry["encoder"]), {})
        written = Recipe.model_construct(
            data=DataConfig.model_validate(recipe["data"]), training=TrainingConfig.model_validate(recipe["training"])
        )
        return ResolvedRecipe(written, modalities, [], [])

    def entry(self, kind: str, entry: Mapping[str, Any]) -> Resolved:
        """A component as a recipe writes it, resolved; AssertionError where its options are refused."""
        component = self.registry.find(kind, entry["id"])
        type_ = self.registry.load(component)
        options = {key: value for key, value in entry.items() if key != "id"}
        try:
            return Resolved(component, type_, type_.Config.model_validate(options))
        except ValidationError as error:
            problem = describe(error, type_.Config)[0]
            raise AssertionError(
                f"{component.id}: {problem}; give options to try it with in conformance.toml, under "
                f"[{kind}.{component.name}]"
            ) from None


def still(learner: Learner) -> Learner:
    """In training, but without dropout and with every encoder, those within objectives too, as in evaluation."""
    learner.train()
    for module in learner.modules():
        if isinstance(module, Encoder):
            module.eval()
        elif isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return learner


def synthetic_layouts() -> list[Layout]:
    """A sequence with special tokens, padding and words, a picture and a video."""
    lengths = torch.tensor([16, 9, 2, 13, 16, 7])
    places = torch.arange(16).expand(6, -1)
    inner = (places > 0) & (places < (lengths - 1).unsqueeze(1))
    sequence = Layout((16,), lengths, inner, torch.where(inner, (places - 1) // 2, -1))
    return [sequence, *(Layout.dense(grid, 6, torch.device("cpu")) for grid in ((4, 6), (2, 4, 4)))]


def _masking_cases(masking: Masking, layouts: Sequence[Layout]) -> list[TransformCase | MaskingCase]:
    """A case for each layout that the masking does not refuse; the last refusal where it refuses all."""
    cases: list[TransformCase | MaskingCase] = []
    refusal = None
    for layout in layouts:
        case = MaskingCase(masking, layout, torch.arange(len(layout.lengths)) * 7919)
        try:
            case.result()
        except ValueError as error:  # a masking of videos takes no sentence
            refusal = error
        else:
            cases.append(case)
    if not cases and refusal is not None:
        raise refusal
    return cases


def _cells(data: Data, name: str, modality: Modality) -> list[Any]:
    """The first cells that are there and can be decoded."""
    found: list[Any] = []
    reason = ""
    for cell in data.splits["train"].cells(data.columns[name]):
        try:
            if cell is not None:
                decode(modality, cell, name)
                found.append(cell)
        except BadCell as bad:
            reason = str(bad)
        if len(found) == ROWS:
            return found
    why = f": {reason}" if reason else ""
    raise AssertionError(f"{type(modality).__name__}: fewer than {ROWS} cells of the data can be decoded{why}")


def _example(row: int, cells: Mapping[str, Sequence[Any]], modalities: Mapping[str, Modality], absent: bool) -> Example:
    first = next(iter(modalities))
    samples = {
        name: modality.blank() if absent and name == first else decode(modality, cells[name][row], name)
        for name, modality in modalities.items()
    }
    return Example(row * 7919 + 11, samples, {name: not (absent and name == first) for name in modalities})


def _has_blank(modality: Modality) -> bool:
    try:
        modality.blank()
    except ValueError:
        return False
    return True


def _larger(tried: Tried) -> Batch | None:
    """The batch with every value of its main input twice along each axis but rows and channels."""
    batch, modality = tried.batch(), tried.modality
    value = batch.inputs[modality.input_name]
    if not value.is_floating_point() or value.ndim < 3:
        return None
    for axis in range(1, value.ndim):
        if axis != modality.channel_axis:
            value = value.repeat_interleave(2, dim=axis)
    return batch.with_inputs(**{modality.input_name: value})
