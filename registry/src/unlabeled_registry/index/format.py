"""The data of an index, `plugins.json`: every release of every plugin, as its wheel and the index's state say."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from unlabeled_registry.errors import RegistryError, did_you_mean
from unlabeled_registry.manifest import FILE_NAME, Manifest, parse

SCHEMA = 1
INDEX_FILE = "plugins.json"


@dataclass(frozen=True)
class Advisory:
    """A known fault of a release, and the version that mends it, where there is one."""

    id: str
    summary: str
    fixed_in: str | None


@dataclass(frozen=True)
class Release:
    """One wheel of a plugin."""

    name: str  # of the plugin, normalised
    version: str
    file: str
    url: str  # relative to plugins.json
    sha256: str
    size: int
    requires_python: str | None
    requires_dist: tuple[str, ...]
    manifest: Mapping[str, Any]  # the tables of unlabeled.toml
    package: str
    conformance: Mapping[str, Any] | None  # the summary of the kit's report on this very file
    yanked: str | None  # the reason
    advisories: tuple[Advisory, ...]
    attestations: bool

    @property
    def summary(self) -> str:
        """The manifest's summary; one for other interfaces may have none."""
        return _printable(self.manifest.get("summary", ""))

    @property
    def api(self) -> str:
        """The range of interfaces that the manifest asks for."""
        return _printable(self.manifest.get("api", ""))

    def parsed(self) -> Manifest:
        """The manifest, checked as an installed plugin's is; `ManifestError` where it cannot be used."""
        path = Path(self.file) / self.package / FILE_NAME
        return parse(self.manifest, distribution=self.name, version=self.version, package=self.package, path=path)

    def as_json(self) -> dict[str, Any]:
        """What plugins.json says of it, under the plugin's name."""
        values = {key: value for key, value in vars(self).items() if key != "name"}
        return values | {"advisories": [dict(vars(advisory)) for advisory in self.advisories]}


@dataclass(frozen=True)
class Index:
    """What an index holds: releases by the plugin's name, the newest last; `sha256` is that of its plugins.json."""

    location: str  # a folder, or an address that ends in a slash
    sha256: str
    plugins: Mapping[str, tuple[Release, ...]]

    def releases(self, name: str) -> tuple[Release, ...]:
        """The releases of a plugin, named with or without `unlabeled-`; `RegistryError` where the index has none."""
        wanted = canonicalize_name(name)
        for candidate in (wanted, f"unlabeled-{wanted}"):
            if candidate in self.plugins:
                return self.plugins[candidate]
        known = [*self.plugins, *(plugin.removeprefix("unlabeled-") for plugin in self.plugins)]
        instead = did_you_mean(name, known) or "; `unlabeled plugins search` lists what it has"
        raise RegistryError(f"no plugin {name!r} in the index {self.location}{instead}")


def newest(releases: tuple[Release, ...]) -> Release:
    """The release to show: the newest final one that is not yanked, else the newest not yanked, else the newest."""
    usable = [release for release in releases if release.yanked is None]
    final = [release for release in usable if not Version(release.version).is_prerelease]
    return (final or usable or list(releases))[-1]


def dump(plugins: Mapping[str, tuple[Release, ...]]) -> bytes:
    """The bytes of plugins.json: the same releases always give the same ones."""
    table = {name: {"releases": [release.as_json() for release in plugins[name]]} for name in plugins}
    return to_json({"schema": SCHEMA, "plugins": table})


def to_json(value: Any) -> bytes:
    """JSON as an index's files hold it: sorted keys, one line a value."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def load(data: bytes, place: str) -> dict[str, tuple[Release, ...]]:
    """The releases that a plugins.json holds; `RegistryError` names `place` and what is not as it must be."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise RegistryError(f"{place}: is no valid JSON; build the index again, or get it again") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        newer = isinstance(schema, int) and schema > SCHEMA
        cure = "upgrade unlabeled-registry to read it" if newer else "is it the plugins.json of an index?"
        raise RegistryError(f"{place}: schema {schema!r} is not {SCHEMA}; {cure}")
    plugins: dict[str, tuple[Release, ...]] = {}
    try:
        for name, entry in sorted(content["plugins"].items()):
            plugins[name] = tuple(sorted((_release(name, item) for item in entry["releases"]), key=order))
            _expect(name == canonicalize_name(name) and plugins[name] != (), name)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise RegistryError(f"{place}: damaged or changed: {error}; get it again, or ask who keeps the index") from None
    return plugins


def order(release: Release) -> tuple[Version, str]:
    """The key by which a plugin's releases are sorted."""
    return Version(release.version), release.file


def _release(name: str, item: Mapping[str, Any]) -> Release:
    """A release with every value checked; `ValueError` or `KeyError` names what is wrong."""
    values = {}
    for key, fits in _FIELDS.items():
        if key not in item or not fits(item[key]):
            raise ValueError(f"{name} {item.get('version', '')}: {key} is not as it must be")
        values[key] = item[key]
    if unknown := sorted(set(item) - set(_FIELDS)):
        raise ValueError(f"{name} {item['version']}: unknown key {unknown[0]!r}")
    _expect(_is_of(item["file"], name, item["version"]), f"{name} {item['version']}: file")
    _expect(_leads_to(item["url"], item["file"]), f"{name} {item['version']}: url")
    values["requires_dist"] = tuple(item["requires_dist"])
    values["advisories"] = tuple(Advisory(**advisory) for advisory in item["advisories"])
    return Release(name=name, **values)


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"{what} is not as it must be")


def _is_of(file: str, name: str, version: str) -> bool:
    try:
        found, number, _, _ = parse_wheel_filename(file)
    except (InvalidWheelFilename, InvalidVersion):
        return False
    return (found, number) == (name, Version(version)) and PurePosixPath(file).name == file


def _leads_to(url: str, file: str) -> bool:
    """Whether an address is a relative one, in the index's own folder or beside it, of this very file."""
    parts = urlsplit(url)
    return not (parts.scheme or parts.netloc or parts.query or parts.fragment) and (
        not url.startswith(("/", "\\")) and unquote(parts.path).rpartition("/")[2] == file
    )


def _text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value != ""  # a terminal obeys what is not printable


def _maybe_text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.isprintable())


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _printable(value: Any) -> str:
    return "".join(character if character.isprintable() else " " for character in str(value))


def _table(value: Any) -> bool:
    return isinstance(value, dict)


def _maybe_report(value: Any) -> bool:
    counts = ("required", "ran", "passed")
    return value is None or (
        isinstance(value, dict) and _truth(value.get("green")) and all(_count(value.get(key)) for key in counts)
    )


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _version(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(Version(value)) == value  # as wheels give it: nothing around it
    except InvalidVersion:
        return False


def _advisories(value: Any) -> bool:
    keys = {"id": _text, "summary": _text, "fixed_in": _maybe_text}
    return isinstance(value, list) and all(
        isinstance(item, dict) and set(item) == set(keys) and all(fits(item[key]) for key, fits in keys.items())
        for item in value
    )


_FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "version": _version,
    "file": _text,
    "url": _text,
    "sha256": _sha256,
    "size": _count,
    "requires_python": _maybe_text,
    "requires_dist": _texts,
    "manifest": _table,
    "package": _text,
    "conformance": _maybe_report,
    "yanked": _maybe_text,
    "advisories": _advisories,
    "attestations": _truth,
}
