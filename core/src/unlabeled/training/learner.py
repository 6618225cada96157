"""The module that is wrapped, trained and saved: all encoders and all objectives of a run."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from unlabeled.interfaces.batch import View
from unlabeled.interfaces.draws import hash_key
from unlabeled.interfaces.encoder import Encoder
from unlabeled.interfaces.modality import Modality
from unlabeled.interfaces.objective import Context, Facts, Objective
from unlabeled.recipes.resolve import ResolvedObjective, ResolvedRecipe

Views = Mapping[str, Sequence[View]]
"""Objective's name -> the views it asked for, in order."""


class Learner(nn.Module):
    """Encoders and objectives. Its forward is `represent` of every objective on one micro-batch."""

    def __init__(
        self, encoders: Mapping[str, Encoder], objectives: Mapping[str, Objective], on: Mapping[str, Sequence[str]]
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.objectives = nn.ModuleDict(dict(objectives))
        self.on = {name: tuple(names) for name, names in on.items()}
        self._named = list(objectives.items())

    def forward(self, views: Views, context: Context) -> dict[str, dict[str, Tensor]]:
        """Objective's name -> its outputs for one micro-batch."""
        return {
            name: objective.represent(views[name], self.encoders_of(name), context) for name, objective in self.named()
        }

    def named(self) -> list[tuple[str, Objective]]:
        """The objectives with their names."""
        return self._named

    def encoders_of(self, objective: str) -> dict[str, Encoder]:
        """The encoders an objective works on, in its order."""
        return {name: self.encoder(name) for name in self.on[objective]}

    def encoder(self, name: str) -> Encoder:
        """One encoder."""
        encoder = self.encoders[name]
        assert isinstance(encoder, Encoder)
        return encoder

    def group_overrides(self) -> dict[str, dict[str, float | bool]]:
        """Parameter group settings that objectives ask for, by full parameter prefix."""
        return {
            f"objectives.{name}.{prefix}": settings
            for name, objective in self.named()
            for prefix, settings in objective.parameter_groups().items()
        }


def build_learner(recipe: ResolvedRecipe, modalities: Mapping[str, Modality], facts: Facts) -> Learner:
    """Encoders and objectives with the initial weights of the recipe's seed, the same at every call."""
    dtype = torch.float64 if recipe.recipe.training.precision == "float64" else torch.float32
    with torch.random.fork_rng(devices=[]):
        encoders: dict[str, Encoder] = {}
        for name, entry in recipe.modalities.items():
            _seed(recipe.recipe.training.seed, "encoder", name)
            encoders[name] = entry.encoder.build(modalities[name])
        objectives = {entry.name: _build_objective(entry, encoders, facts, recipe) for entry in recipe.objectives}
    return Learner(encoders, objectives, {entry.name: entry.on for entry in recipe.objectives}).to(dtype)


def _build_objective(
    entry: ResolvedObjective, encoders: Mapping[str, Encoder], facts: Facts, recipe: ResolvedRecipe
) -> Objective:
    _seed(recipe.recipe.training.seed, "objective", entry.name)
    objective: Objective = entry.objective.build({name: encoders[name] for name in entry.on}, facts)
    return objective


def _seed(*parts: object) -> None:
    torch.manual_seed(hash_key(*parts) % 2**63)
