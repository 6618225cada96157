"""`conformance.toml`: in which small sizes, and on which data, the kit tries a plugin. It lies beside the manifest.

    [data]                               # as in a recipe; default: a small sample world
    source = "cells.parquet"             # a file beside this one, or sample:NAME

    [modalities.row]                     # what components are tried on, as in a recipe; default: what fits, the nearest first
    id = "rows/row"
    width = 80

    [encoder.perceptron]                 # kind and id, or the full id of another plugin's component
    options = {width = 16}               # default: those of its Config

    [objective.align-uniform]
    learns = {steps = 100, learning_rate = 1e-2}         # how long it is trained to show that it learns
    recipe.training = {weight_decay = 0.0}               # sections of the recipe in which it is tried

    [recipe.rows-simclr]
    options = {"training.batch_size" = 8}                    # overrides

Whatever is left out has a default, so a plugin whose options all have defaults that are small needs no such file.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlabeled.recipes.problems import describe
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.manifest import Component, Manifest

FILE_NAME = "conformance.toml"


class Learns(BaseModel):
    """How long a component is trained to show that it learns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=40, gt=0, description="optimizer steps of 16 rows")
    learning_rate: float = Field(default=1e-3, gt=0)


class ComponentSettings(BaseModel):
    """How one component is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    options: dict[str, Any] = Field(default_factory=dict, description="of its Config; of a recipe: overrides")
    recipe: dict[str, Any] = Field(default_factory=dict, description="sections of the recipe in which it is tried")
    learns: Learns = Learns()


Group = dict[str, ComponentSettings]


class Settings(BaseModel):
    """What conformance.toml holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: dict[str, Any] = Field(default_factory=dict, description="as in a recipe")
    modalities: dict[str, Any] = Field(default_factory=dict, description="as in a recipe")
    modality: Group = Field(default_factory=dict)
    encoder: Group = Field(default_factory=dict)
    augmentation: Group = Field(default_factory=dict)
    objective: Group = Field(default_factory=dict)
    evaluator: Group = Field(default_factory=dict)
    source: Group = Field(default_factory=dict)
    recipe: Group = Field(default_factory=dict)

    def of(self, component: Component, plugin: str) -> ComponentSettings | None:
        """What the settings of `plugin` say of a component, by its full id, or by its own where it is that plugin's."""
        group: Mapping[str, ComponentSettings] = getattr(self, component.kind)
        own = group.get(component.name) if component.plugin == plugin else None
        return group.get(component.id) or own


def read_settings(manifest: Manifest) -> Settings:
    """The settings beside a manifest, or the defaults; `RegistryError` with one line for each problem."""
    path = manifest.path.with_name(FILE_NAME)
    try:
        with open(path, "rb") as file:
            settings = Settings.model_validate(tomllib.load(file))
    except FileNotFoundError:
        return Settings()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        raise RegistryError(*(f"{path}: {problem}" for problem in describe(error, Settings))) from None
    return settings.model_copy(update={"data": _found(settings.data, path.parent)})


def _found(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Data whose source, where it is a file beside the settings, has its full path."""
    source = data.get("source")
    if isinstance(source, str) and (folder / source).exists():
        return {**data, "source": str(folder / source)}
    return dict(data)
