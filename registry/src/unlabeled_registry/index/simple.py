"""The pages that pip and uv read: PEP 503 (HTML) and PEP 691 (JSON), with PEP 592 yanks and PEP 658 metadata."""

import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import quote

from packaging.version import Version

from unlabeled_registry.index.format import to_json
from unlabeled_registry.index.wheels import Wheel

_META = {"api-version": "1.3"}


class Served(NamedTuple):
    """A wheel as the pages offer it."""

    wheel: Wheel
    yanked: str | None
    provenance: bool  # whether attestations lie beside it (PEP 740)


def simple_pages(distributions: Mapping[str, Sequence[Served]]) -> dict[str, bytes]:
    """The pages by their path in the index, of wheels by the distribution's name in the order of their versions."""
    names = sorted(distributions)
    links = "".join(f'    <a href="{name}/">{name}</a><br>\n' for name in names)
    projects = {"meta": _META, "projects": [{"name": name} for name in names]}
    pages = {"simple/index.html": _page("Simple index", links), "simple/index.json": to_json(projects)}
    for name, served in distributions.items():
        anchors = "".join(_anchor(item) for item in served)
        versions = sorted({item.wheel.version for item in served}, key=Version)
        details = {"meta": _META, "name": name, "versions": versions, "files": [_file(item) for item in served]}
        pages[f"simple/{name}/index.html"] = _page(f"Links for {name}", anchors)
        pages[f"simple/{name}/index.json"] = to_json(details)
    return pages


def _page(title: str, links: str) -> bytes:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n  <head>\n    <meta charset="utf-8">\n'
        '    <meta name="pypi:repository-version" content="1.3">\n'
        f"    <title>{escape(title)}</title>\n  </head>\n  <body>\n    <h1>{escape(title)}</h1>\n{links}  </body>\n</html>\n"
    ).encode()


def _anchor(item: Served) -> str:
    wheel = item.wheel
    metadata = f"sha256={_sha256(wheel.metadata)}"
    attributes = {"href": f"{_url(wheel)}#sha256={wheel.sha256}"}
    if wheel.requires_python is not None:
        attributes["data-requires-python"] = wheel.requires_python
    attributes |= {"data-core-metadata": metadata, "data-dist-info-metadata": metadata}
    if item.yanked is not None:
        attributes["data-yanked"] = item.yanked
    if item.provenance:
        attributes["data-provenance"] = f"{_url(wheel)}.provenance"
    written = " ".join(f'{key}="{escape(value)}"' for key, value in attributes.items())
    return f"    <a {written}>{escape(wheel.path.name)}</a><br>\n"


def _file(item: Served) -> dict[str, Any]:
    wheel = item.wheel
    file = {
        "filename": wheel.path.name,
        "url": _url(wheel),
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size,
        "core-metadata": {"sha256": _sha256(wheel.metadata)},
        "yanked": False if item.yanked is None else item.yanked,
        "provenance": f"{_url(wheel)}.provenance" if item.provenance else None,
    }
    return file if wheel.requires_python is None else file | {"requires-python": wheel.requires_python}


def _url(wheel: Wheel) -> str:
    return f"../../files/{quote(wheel.path.name)}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
