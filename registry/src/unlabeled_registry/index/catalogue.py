"""The pages of an index that people read: one to search and filter, and one for each plugin. They load nothing."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from unlabeled_registry.errors import ManifestError
from unlabeled_registry.index.format import Release, newest
from unlabeled_registry.index.readme import render
from unlabeled_registry.index.search import Facets, facets
from unlabeled_registry.index.wheels import Wheel
from unlabeled_registry.manifest import Component, Manifest
from unlabeled_registry.schema import ANY, KINDS

TEMPLATES = Path(__file__).parent / "templates"


class Entry(NamedTuple):
    """A release with its wheel and the checks of the kit's report on it."""

    release: Release
    wheel: Wheel
    checks: Sequence[Mapping[str, Any]]


class Shown(NamedTuple):
    """A plugin as the pages show it."""

    name: str
    release: Release  # the one that is shown
    wheel: Wheel
    checks: Sequence[Mapping[str, Any]]
    releases: Sequence[Release]  # newest first
    manifest: Manifest | None  # None where it is for other interfaces than these
    groups: Mapping[str, Sequence[Component]]  # kind -> components
    facets: Facets
    readme: Markup
    links: Mapping[str, str]


def catalogue_pages(entries: Mapping[str, Sequence[Entry]]) -> dict[str, bytes]:
    """The pages by their path in the index, of each plugin's releases in the order of their versions."""
    plugins = [_shown(name, entries[name]) for name in sorted(entries)]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(size=_size, label=_label)
    style, filters, install = (_source(name) for name in ("style.css", "filters.js", "install.js"))
    common = {"style": style, "kinds": KINDS, "ANY": ANY}
    index = environment.get_template("index.html").render(
        common, plugins=plugins, options=_options(plugins), script=filters, policy=_policy(style, filters), root=""
    )
    page = environment.get_template("plugin.html")
    policy = _policy(style, install)
    pages = {
        f"plugins/{plugin.name}.html": page.render(common, plugin=plugin, script=install, policy=policy, root="../")
        for plugin in plugins
    }
    return {path: text.encode() for path, text in pages.items()} | {"index.html": index.encode()}


def _shown(name: str, entries: Sequence[Entry]) -> Shown:
    releases = tuple(entry.release for entry in entries)
    release = newest(releases)
    entry = entries[releases.index(release)]
    try:
        manifest = release.parsed()
    except ManifestError:
        manifest = None
    components = manifest.components if manifest else ()
    groups = {kind: [part for part in components if part.kind == kind] for kind in KINDS}
    return Shown(
        name=name,
        release=release,
        wheel=entry.wheel,
        checks=entry.checks,
        releases=releases[::-1],
        manifest=manifest,
        groups={kind: parts for kind, parts in groups.items() if parts},
        facets=facets(release),
        readme=Markup(render(entry.wheel.description, entry.wheel.description_type, name)),
        links={label: link for label, link in entry.wheel.links.items() if link.startswith(("https://", "http://"))},
    )


def _options(plugins: Iterable[Shown]) -> dict[str, list[str]]:
    """What each filter offers: the values that some plugin has."""
    found = [plugin.facets for plugin in plugins]
    return {
        "modality": sorted({value for item in found for value in item.modalities}),
        "objective": sorted({value for item in found for value in item.objectives}),
        "capability": sorted({value for item in found for value in item.capabilities}),
        "kind": [kind for kind in KINDS if any(kind in item.kinds for item in found)],
    }


def _source(name: str) -> Markup:
    """A file of ours that goes into a page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _policy(style: str, script: str) -> str:
    """Content Security Policy: this very style and script run, nothing else does, and nothing is loaded."""
    return f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _size(bytes: int) -> str:
    return f"{bytes / 1e6:.1f} MB" if bytes >= 1e6 else f"{max(1, round(bytes / 1e3))} kB"


def _label(kind: str, count: int) -> str:
    plural = "modalities" if kind == "modality" else f"{kind}s"
    return kind if count == 1 else plural
