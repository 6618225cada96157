"""From batches to the views that objectives asked for: augmentation, then masking, on the batch's device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from unlabeled.data.loader import MicroBatch, ViewKey
from unlabeled.interfaces.augmentation import Masking, Transform
from unlabeled.interfaces.batch import View
from unlabeled.interfaces.draws import Draws
from unlabeled.recipes.resolve import ResolvedRecipe
from unlabeled.training.learner import Learner


@dataclass(frozen=True)
class ViewBuilder:
    """The transforms and maskings of a recipe, built once."""

    keys: Mapping[str, Sequence[ViewKey]]
    """Objective -> its views, ordered by encoder, spec, index."""
    masks: Mapping[tuple[str, ViewKey], Mapping[str, Masking]]
    """(objective, view) -> mask's name -> masking."""
    pipelines: Mapping[tuple[str, str], Sequence[tuple[str, Transform]]]
    """(encoder, role) -> transforms with their ids."""
    dtype: torch.dtype

    @staticmethod
    def of(recipe: ResolvedRecipe) -> "ViewBuilder":
        """The builder of a resolved recipe."""
        keys: dict[str, list[ViewKey]] = {}
        masks: dict[tuple[str, ViewKey], dict[str, Masking]] = {}
        for entry in recipe.objectives:
            built = {name: masking.build() for name, masking in entry.masks.items()}
            keys[entry.name] = []
            for encoder in entry.on:
                used: dict[str, int] = {}
                for spec in entry.views:
                    for _ in range(spec.count):
                        key = (encoder, spec.role, used.get(spec.role, 0))
                        used[spec.role] = key[2] + 1
                        keys[entry.name].append(key)
                        masks[entry.name, key] = {name: built[name] for name in spec.masks}
        pipelines = {
            (encoder, role): [(step.id, step.build()) for step in steps]
            for encoder, modality in recipe.modalities.items()
            for role, steps in modality.pipelines.items()
        }
        dtype = torch.float64 if recipe.recipe.training.precision == "float64" else torch.float32
        return ViewBuilder(keys, masks, pipelines, dtype)

    def all_keys(self) -> list[ViewKey]:
        """Every view of the run, once."""
        return list(dict.fromkeys(key for keys in self.keys.values() for key in keys))

    def build(
        self, micro: MicroBatch, learner: Learner, *, seed: int, step: int, device: torch.device
    ) -> dict[str, list[View]]:
        """Objective -> its views of one micro-batch. Objectives that ask for the same view share its tensors."""
        with torch.no_grad():
            views = {key: self._augment(micro, key, seed, step, device) for key in self.all_keys()}
            return {
                name: [
                    self._mask(views[key], self.masks[name, key], name, learner, micro.epoch, seed, step)
                    for key in keys
                ]
                for name, keys in self.keys.items()
            }

    def _augment(self, micro: MicroBatch, key: ViewKey, seed: int, step: int, device: torch.device) -> View:
        encoder, role, index = key
        batch = micro.batches[key].to(device)
        # Before the transforms, as float32 rounds a row otherwise where a batch has other rows beside it.
        wide = {name: value.to(self.dtype) for name, value in batch.inputs.items() if value.is_floating_point()}
        inputs = {**batch.inputs, **wide}
        view = View(inputs, batch.ids, batch.present, batch.extra, encoder=encoder, role=role, index=index)
        draws = Draws(seed, micro.epoch, batch.ids, encoder, role, index, step)
        for number, (id_, transform) in enumerate(self.pipelines.get((encoder, role), ())):
            view = transform(view, draws.within(f"{number}:{id_}"))
        return view

    def _mask(
        self,
        view: View,
        maskings: Mapping[str, Masking],
        objective: str,
        learner: Learner,
        epoch: int,
        seed: int,
        step: int,
    ) -> View:
        if not maskings:
            return view
        layout = learner.encoder(view.encoder).layout(view)
        draws = Draws(seed, epoch, view.ids, view.encoder, view.role, view.index, step)
        masks = {name: masking(layout, draws.within(f"{objective}/{name}")) for name, masking in maskings.items()}
        return replace(view, masks=masks)
