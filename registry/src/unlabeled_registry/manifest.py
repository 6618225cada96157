"""Manifests: what a plugin offers, written down in `unlabeled.toml` beside its code and read without importing it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unlabeled_registry.api import API_VERSION, satisfies
from unlabeled_registry.errors import ManifestError, printable
from unlabeled_registry.schema import ANY, COMPONENT, HEADER, OF_KIND, check_object, checked

FILE_NAME = "unlabeled.toml"
MAX_SIZE = 256 * 1024
"""In bytes: a larger manifest is not read, so that no plugin holds up the listing of all."""


class Component(NamedTuple):
    """One thing that a plugin provides, as its manifest describes it."""

    kind: str
    id: str  # owner/name
    name: str
    owner: str
    plugin: str  # the distribution
    object: str  # package.module:Class, or package:folder/file.yaml for a recipe
    summary: str
    requires: tuple[str, ...] = ()  # objective: the capabilities it needs
    provides: tuple[str, ...] = ()  # encoder: the capabilities it can have at most
    modalities: tuple[str, ...] = (ANY,)  # encoder, augmentation, objective: full ids of the modalities it takes
    encoder: str | None = None  # modality: full id of its default encoder
    columns: tuple[str, ...] = ()  # modality: the column types it reads
    dense: bool = True  # modality: its main input is an array of numbers (B, C, *dims), which encoders for all can read

    def takes(self, modality: "Component") -> bool:
        """Whether this encoder, augmentation or objective works on the modality."""
        for_all = ANY in self.modalities and (modality.dense or self.kind != "encoder")
        return for_all or modality.id in self.modalities


class Manifest(NamedTuple):
    """A plugin's own description."""

    name: str  # the distribution
    version: str
    package: str  # the top-level import package
    path: Path  # the manifest's file
    api: str
    summary: str
    uses: tuple[str, ...]  # full ids of other plugins' components that its recipes name
    hooks: bool  # whether every run imports its package for the hooks in it, whatever the recipe names
    components: tuple[Component, ...]

    @property
    def compatible(self) -> bool:
        """Whether the plugin was written for the interfaces that are installed."""
        return satisfies(API_VERSION, self.api)

    def kept(self) -> Sequence[Any]:
        """All that its file says, in a form that JSON can hold and `restore` understands."""
        return self[self._fields.index("api") :]


def restore(kept: Sequence[Any], *, name: str, version: str, package: str, path: Path) -> Manifest:
    """The manifest that `kept` was made of."""
    api, summary, uses, hooks, parts = kept
    # JSON made lists of the tuples
    components = tuple(Component._make(tuple(v) if isinstance(v, list) else v for v in part) for part in parts)
    return Manifest(name, version, package, path, api, summary, tuple(uses), hooks, components)


def owner_of(distribution: str) -> str:
    """The owner in full ids: the distribution's name without `unlabeled-`."""
    return distribution.removeprefix("unlabeled-")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a manifest's file; `ManifestError` where it cannot be read."""
    import tomli  # the standard library's tomllib compiled, three times as fast: listing many new plugins waits for it

    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise ManifestError(f"cannot be read ({error.strerror}); check {path}") from None
    if len(content) > MAX_SIZE:
        raise ManifestError(f"larger than {MAX_SIZE // 1024} KiB; it holds names and summaries only")
    try:
        return tomli.loads(content.decode())
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"no valid TOML: {printable(str(error))}") from None


def parse(data: Mapping[str, Any], *, distribution: str, version: str, package: str, path: Path) -> Manifest:
    """Validate what a manifest's TOML holds; `ManifestError` has every problem, one line each.

    A manifest for other interfaces may say what these do not know, so of such a one only the readable parts are kept.
    """
    problems: list[str] = []
    checked(_only("schema", data), _only("schema", HEADER), "", problems)
    if problems:
        raise ManifestError(*problems)
    header = checked(data, HEADER, "", problems)
    if header.get("name", distribution) != distribution:
        problems.append(f"name: {header['name']!r} is not the distribution's name, {distribution!r}")
    if "provides" not in data and not header.get("hooks"):
        problems.append("provides: missing")
    components: dict[tuple[str, str], Component] = {}
    for number, table in enumerate(header.get("provides", ()), start=1):
        place = f"provides[{table.get('id', number)}]."
        component = _component(table, distribution, package, place, problems)
        if component is not None and (component.kind, component.id) in components:
            problems.append(f"{place}id: there are two of kind {component.kind!r}; rename one")
        elif component is not None:
            components[component.kind, component.id] = component
    manifest = Manifest(
        name=distribution,
        version=version,
        package=package,
        path=path,
        api=header.get("api", f"=={API_VERSION}"),
        summary=header.get("summary", ""),
        uses=header.get("uses", ()),
        hooks=header.get("hooks", False),
        components=tuple(components.values()),
    )
    if problems and manifest.compatible:
        raise ManifestError(*problems)
    return manifest


def _component(
    table: Mapping[str, Any], distribution: str, package: str, place: str, problems: list[str]
) -> Component | None:
    """The component a table describes, or None with the reasons added to `problems`."""
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in OF_KIND:
        checked(_only("kind", table), _only("kind", COMPONENT), place, problems)
        return None
    found: list[str] = []
    values = checked(table, COMPONENT | OF_KIND[kind], place, found)
    if "object" in values:
        try:
            check_object(values["object"], kind, package)
        except ValueError as error:
            found.append(f"{place}object: {error}")
    problems += found
    if found:
        return None
    owner, name = owner_of(distribution), values.pop("id")
    return Component(id=f"{owner}/{name}", name=name, owner=owner, plugin=distribution, **values)


def _only(key: str, table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: table[key]} if key in table else {}
