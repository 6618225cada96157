"""What a component is tried with: the recipe of its own plugin's parts, and of others where it lacks one."""

from collections.abc import Iterable, Mapping
from typing import Any

from unlabeled.testing.conformance.settings import ComponentSettings, Settings, read_settings
from unlabeled_registry.capabilities import PAIRED
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.manifest import Component
from unlabeled_registry.negotiation import encoders_of, negotiate
from unlabeled_registry.registry import Plugin, Registry
from unlabeled_registry.schema import ANY

WORLD: Mapping[str, Any] = {
    "source": "sample:world",
    "options": {"items": {"train": 64, "validation": 16, "test": 32}, "size": 32, "frames": 8, "steps": 32},
}
STANDARD = "unlabeled-standard"
WORLD_COLUMNS = ("image", "text", "audio", "video", "series")
TRAINING: Mapping[str, Any] = {"steps": 4, "batch_size": 14, "learning_rate": 1e-3, "device": "cpu"}


class Missing(Exception):
    """Something that a promise is tried with is not installed: the promise cannot be proved here."""


class Companions:
    """Chooses by manifests and settings, and writes recipes; imports no plugin."""

    def __init__(self, registry: Registry, plugin: Plugin) -> None:
        self.registry, self.plugin = registry, plugin
        self._settings: dict[str, Settings] = {}
        self._of(plugin.name)  # a mistake in it is told before anything is tried

    def settings(self, component: Component) -> ComponentSettings:
        """How a component is tried: as the checked plugin says, else as its own says, else by default."""
        for plugin in (self.plugin.name, component.plugin):
            found = self._of(plugin).of(component, plugin)
            if found is not None:
                return found
        return ComponentSettings()

    def entry(self, component: Component) -> dict[str, Any]:
        """A component as a recipe writes it."""
        return {"id": component.id, **self.settings(component).options}

    def recipe(self, component: Component, *, trained: bool = True) -> dict[str, Any]:
        """The recipe in which a component is tried; not `trained`: without an objective, where it needs none."""
        written = self.settings(component).recipe
        modalities = written.get("modalities") or self._named(component) or self._modalities(component)
        recipe: dict[str, Any] = {"modalities": modalities, "data": written.get("data") or self._data(modalities)}
        if trained or component.kind == "objective" or "objectives" in written:
            recipe["objectives"] = written.get("objectives") or [self._objective(component, modalities)]
        others = {key: value for key, value in written.items() if key not in recipe and key != "training"}
        return {**recipe, **others, "training": {**TRAINING, **written.get("training", {})}}

    def _of(self, plugin: str) -> Settings:
        if plugin not in self._settings:
            manifest = self.registry.plugin(plugin).manifest
            self._settings[plugin] = Settings() if manifest is None else read_settings(manifest)
        return self._settings[plugin]

    def _nearest_first(self, kind: str) -> list[Component]:
        """The plugin's own components, then those its manifest uses, then those for all modalities, then others."""
        uses = self.plugin.manifest.uses if self.plugin.manifest else ()

        def distance(part: Component) -> tuple[bool, bool, bool]:
            return part.plugin != self.plugin.name, part.id not in uses, part.plugin != STANDARD

        return sorted(self.registry.components(kind), key=distance)

    def _named(self, component: Component) -> dict[str, Any]:
        """What the checked plugin names for all that is for any modality."""
        own = component.plugin == self.plugin.name and component.kind != "modality"
        return self._of(self.plugin.name).modalities if own and ANY in component.modalities else {}

    def _modalities(self, component: Component) -> dict[str, Any]:
        """Encoder's name -> entry, of as many modalities as the component needs."""
        count = 2 if component.kind == "objective" and PAIRED in component.requires else 1
        chosen: dict[str, Any] = {}
        for modality in [component] if component.kind == "modality" else self._nearest_first("modality"):
            encoder = self._encoder(component, modality)
            if encoder is not None and len(chosen) < count:
                chosen[modality.name] = {**self.entry(modality), "encoder": self.entry(encoder)}
        if len(chosen) < count:
            raise Missing(
                f"{component.id} cannot be tried: no installed modality fits it; install a plugin that has one, such as "
                "unlabeled-timeseries, or name one in conformance.toml"
            )
        return chosen

    def _encoder(self, component: Component, modality: Component) -> Component | None:
        """The encoder of a modality that a component is tried with; None where they do not fit."""
        if component.kind == "encoder":
            return component if component.takes(modality) else None
        if not component.takes(modality):  # what is for all modalities takes any
            return None
        for encoder in encoders_of(modality, self.registry.components("encoder")):
            if component.kind != "objective" or negotiate(component, encoder).runs:
                return encoder
        return None

    def _objective(self, component: Component, modalities: Mapping[str, Any]) -> dict[str, Any]:
        if component.kind == "objective":
            return self.entry(component)
        encoders = [self.registry.find("encoder", entry["encoder"]["id"]) for entry in modalities.values()]
        taken = [self.registry.find("modality", entry["id"]) for entry in modalities.values()]
        for objective in self._nearest_first("objective"):
            runs = all(negotiate(objective, encoder).runs for encoder in encoders) and all(map(objective.takes, taken))
            if runs and (PAIRED not in objective.requires or len(encoders) > 1):
                return self.entry(objective)
        raise Missing(
            f"{component.id} cannot be trained: no installed objective runs on it; install unlabeled-standard"
        )

    def _data(self, modalities: Mapping[str, Any]) -> dict[str, Any]:
        """The data of the checked plugin, else those of the modalities' own, else the sample world."""
        components = [self.registry.find("modality", entry["id"]) for entry in modalities.values()]
        for plugin in (self.plugin.name, *(component.plugin for component in components)):
            if data := self._of(plugin).data:
                return {"workers": 0, **data}
        _check_world(self.registry, components)
        return {"workers": 0, "cache": False, **WORLD}


def _check_world(registry: Registry, modalities: Iterable[Component]) -> None:
    for modality in modalities:
        if not set(modality.columns) & set(WORLD_COLUMNS):
            reads = ", ".join(modality.columns) or "no column"
            raise Missing(f"{modality.id} reads {reads}, which the sample world lacks; name [data] in conformance.toml")
    try:
        registry.find("source", "standard/world")
    except RegistryError:
        raise Missing(
            "the sample world is not installed; install unlabeled-standard, or name [data] in conformance.toml"
        ) from None
