"""How a plugin of the index is shown: `unlabeled plugins info` of one that is not installed."""

from typing import Any

import click

from unlabeled.cli.output import print_columns, print_json, say
from unlabeled_registry.errors import ManifestError
from unlabeled_registry.index.format import Release, newest
from unlabeled_registry.manifest import Component

_ATTESTED = "in the index, beside the wheel (PEP 740); who signed them is not checked here"


def show(releases: tuple[Release, ...], installed: str, as_json: bool) -> None:
    """Print the newest release of a plugin, the list of all, and what the index says of the installed version, if any."""
    from unlabeled_registry.install.choose import unsafe

    release = newest(releases)
    warnings = [text for item in releases if item.version == installed for text in unsafe(item)]
    try:
        components, reason = release.parsed().components, ""
    except ManifestError as error:
        components, reason = (), "; ".join(error.problems)
    if as_json:
        print_json(_details(release, releases, components, reason) | {"installed": installed, "warnings": warnings})
        return
    say(f"{release.name} {release.version}: available" + (f" ({reason})" if reason else ""))
    for label in ("summary", "api", "package"):
        say(f"{label}: {getattr(release, label)}")
    say(f"requires: {', '.join(release.requires_dist) or 'nothing'}")
    say(f"conformance: {_conformance(release)}")
    say(f"attestations: {_ATTESTED if release.attestations else 'none'}")
    for advisory in release.advisories:
        mended = f"{advisory.fixed_in} mends it" if advisory.fixed_in else "no version mends it yet"
        say(f"advisory {advisory.id}: {advisory.summary} ({mended})")
    if installed:
        here = "" if installed in {item.version for item in releases} else ", which the index does not have"
        say("; ".join([f"installed: {installed}{here}", *warnings]))
    say(f"versions: {', '.join(_version(item) for item in reversed(releases))}")
    click.echo()
    print_columns(("KIND", "ID", "SUMMARY"), [(part.kind, part.id, part.summary) for part in components])


def _conformance(release: Release) -> str:
    report = release.conformance
    if report is None:
        return "no report"
    return f"{report['passed']} of {report['required']} checks passed" + ("" if report["green"] else ": not conforming")


def _version(release: Release) -> str:
    return release.version if release.yanked is None else f"{release.version} (yanked: {release.yanked})"


def _details(
    release: Release, releases: tuple[Release, ...], components: tuple[Component, ...], reason: str
) -> dict[str, Any]:
    return {
        "name": release.name,
        "version": release.version,
        "state": "available",
        "reason": reason,
        "summary": release.summary,
        "api": release.api,
        "package": release.package,
        "uses": release.manifest.get("uses", []),
        "components": [{"kind": part.kind, "id": part.id, "summary": part.summary} for part in components],
        "releases": [{key: value for key, value in item.as_json().items() if key != "manifest"} for item in releases],
    }
