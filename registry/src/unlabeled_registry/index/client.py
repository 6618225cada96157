"""Reading an index from a folder or an address, and getting its wheels."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPMessage
from pathlib import Path
from typing import IO, cast
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

from unlabeled_registry.environment import config_folder
from unlabeled_registry.errors import RegistryError, one_line
from unlabeled_registry.index.format import INDEX_FILE, Index, Release, load

LOCATION_VARIABLE = "UNLABELED_INDEX"
TIMEOUT = 30.0
"""Seconds that a server may be silent."""
MOST_BYTES = 2**28
"""What a plugins.json may be long."""

_ADDRESS = re.compile(r"(file|https?)://", re.IGNORECASE)
_PIN = re.compile(r"sha256=([0-9a-f]{64})")


def configured_location(chosen: str | None = None) -> str:
    """The index that was chosen, else the environment variable's, else the settings'; `RegistryError` where none is."""
    if location := named_location(chosen):
        return location
    raise RegistryError(
        f"no plugin index is named: give --index, set {LOCATION_VARIABLE}, or write "
        f'{{"index": "FOLDER or ADDRESS"}} to {_settings_file()}'
    )


def named_location(chosen: str | None = None) -> str | None:
    """Like `configured_location`, with None where no index is named."""
    return chosen or os.environ.get(LOCATION_VARIABLE) or _setting(_settings_file()) or None


def read_index(location: str) -> Index:
    """The index in a folder or at a file:, http: or https: address, which may end in `#sha256=` of its plugins.json.

    `RegistryError` where it cannot be reached or read, or is not the one that was pinned.
    """
    place, _, pin = location.partition("#")
    _check_no_password(place)
    if pin and not _PIN.fullmatch(pin):
        raise RegistryError(f"index {location}: what follows # must be sha256= and 64 digits")
    root = place.rstrip("/") + "/" if is_address(place) else os.path.abspath(os.path.expanduser(place))
    file = _address(root, INDEX_FILE)
    with closing(_open(file, f"index {place}")) as stream:
        data = _read(stream, file, MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise RegistryError(f"{file}: is longer than {MOST_BYTES >> 20} MiB; is it the plugins.json of an index?")
    sha256 = hashlib.sha256(data).hexdigest()
    if pin and pin != f"sha256={sha256}":
        raise RegistryError(
            f"{file}: has sha256 {sha256}, not the pinned one; it changed: look at it, then pin it anew"
        )
    return Index(root, sha256, load(data, file))


def download(release: Release, index: Index, folder: Path) -> Path:
    """Get a release's wheel into a folder; `RegistryError` where its size or sha256 is not the index's."""
    source, target = _address(index.location, release.url), folder / release.file
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{release.file}.{os.getpid()}"
    digest, size = hashlib.sha256(), 0
    try:
        with closing(_open(source, release.file)) as stream, temporary.open("wb") as file:
            while size <= release.size and (block := _read(stream, source, 1 << 20)):
                size += len(block)
                digest.update(block)
                file.write(block)
        found = digest.hexdigest()
        if (size, found) != (release.size, release.sha256):
            raise RegistryError(
                f"{source}: refused: it has {'more' if size > release.size else size} bytes and sha256 {found}, "
                f"the index says {release.size} and {release.sha256}; the wheel was changed: ask who keeps the index"
            )
        os.replace(temporary, target)
    except OSError as error:
        raise RegistryError(f"{target}: cannot be written ({error.strerror or one_line(error)})") from None
    finally:
        temporary.unlink(missing_ok=True)
    return target


def replaced(index: Index, known: Mapping[tuple[str, str], frozenset[str]]) -> list[str]:
    """A sentence on each release whose file is none of the known ones: (name, version) -> sha256s, as a lock has them."""
    return [
        f"{name} {release.version}: {release.file} has sha256 {release.sha256}, none that is known of this version; "
        "a version never changes: ask who keeps the index"
        for name, releases in index.plugins.items()
        for release in releases
        if (name, release.version) in known and release.sha256 not in known[name, release.version]
    ]


def _settings_file() -> Path:
    return config_folder() / "settings.json"


def _setting(file: Path) -> str:
    try:
        value = json.loads(file.read_text(encoding="utf-8")).get("index", "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError):
        raise RegistryError(f"{file}: cannot be read; mend or delete it") from None
    if not isinstance(value, str):
        raise RegistryError(f"{file}: index: must be a folder or an address")
    return value


def _check_no_password(place: str) -> None:
    _, at, host = place.partition("://")[2].partition("/")[0].rpartition("@")
    if at and is_address(place):
        raise RegistryError(
            f"index at {host}: its address holds a user name or password, which messages and logs would repeat; give it without"
        )


def is_address(location: str) -> bool:
    """Whether a location is an address, and not a folder."""
    return _ADDRESS.match(location) is not None


def _address(root: str, relative: str) -> str:
    """Where a file of an index lies: an address, or a path."""
    if is_address(root):
        try:
            return urljoin(root, relative)
        except ValueError as error:
            raise RegistryError(f"index {root}: cannot be an address ({error})") from None
    return os.path.normpath(os.path.join(root, url2pathname(relative)))


class _Redirects(HTTPRedirectHandler):
    """Follows a redirection to another host, but not from https to what can be changed on its way."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("https", req.type):
            raise URLError(f"it leads from {req.type} to {scheme}, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(place: str, what: str) -> IO[bytes]:
    try:
        scheme = urlsplit(place).scheme if is_address(place) else ""
        if scheme in ("http", "https"):
            request = Request(place, headers={"User-Agent": "unlabeled-registry", "Accept-Encoding": "identity"})
            return cast(IO[bytes], build_opener(_Redirects).open(request, timeout=TIMEOUT))
        path = url2pathname(urlsplit(place).path) if scheme == "file" else place
        return open(path, "rb")
    except URLError as error:
        reason = str(error).splitlines()[0] if hasattr(error, "code") else error.reason
        raise RegistryError(
            f"{what}: {place} cannot be reached ({reason}); check the address and the network"
        ) from None
    except FileNotFoundError:
        raise RegistryError(f"{what}: {place} does not exist; `unlabeled plugins index build` makes an index") from None
    except Exception as error:  # http.client has its own errors, which are no OSError
        raise RegistryError(f"{what}: {place} cannot be read ({one_line(error)})") from None


def _read(stream: IO[bytes], place: str, size: int) -> bytes:
    try:
        return stream.read(size)
    except Exception as error:
        raise RegistryError(f"{place}: broke off ({one_line(error)}); try again") from None
