"""A wheel's archive, read without unpacking: whatever two programs could read in two ways is refused."""

import base64
import csv
import hashlib
import io
import stat
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from unicodedata import normalize
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from unlabeled_registry.errors import RegistryError, listed, one_line

MOST_BYTES = 2**31
"""What a wheel may hold when it is unpacked."""

_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
_HASHES = ("sha256", "sha384", "sha512")
_HEADER = struct.Struct("<6x2H4x3L2H")  # before a member's data: flags, method, sums and sizes, lengths of what follows
_DESCRIPTOR = 24  # the most bytes that may follow a member's data
_ENCRYPTED, _STREAMED, _UTF8 = 0x1, 0x8, 0x800  # flags of a member
_TOLD = _ENCRYPTED | _STREAMED | _UTF8
_UNICODE_PATH = 0x7075  # an extra field with a second name


class Archive:
    """The files of a wheel. Opening one checks names, kinds and layout; `verify` checks every byte against RECORD."""

    def __init__(self, path: Path) -> None:
        """Open and check the archive; `RegistryError` names the member that is not as it must be."""
        self.path = path
        try:
            self._zip = ZipFile(path)
        except (OSError, BadZipFile, ValueError, NotImplementedError, struct.error) as error:
            raise RegistryError(
                f"{path.name}: cannot be opened as a wheel ({one_line(error)}); build it again"
            ) from None
        try:
            self._check()
        except BaseException:
            self._zip.close()
            raise
        self.files = tuple(sorted(info.filename for info in self._zip.infolist() if not info.is_dir()))

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    def read(self, name: str, most: int = MOST_BYTES) -> bytes:
        """The content of one file; `RegistryError` where it is not there, damaged or longer than `most` bytes."""
        if name not in self.files:
            raise self._refusal(f"{name} is missing")
        if self._zip.getinfo(name).file_size > most:
            raise self._refusal(f"{name} is longer than {most >> 10} KiB")
        with self._reading(name) as file:
            return file.read()

    def verify(self, record: str) -> None:
        """Compare every file with the RECORD of this name; `RegistryError` names what differs."""
        expected = self._record(record)
        folder = PurePosixPath(record).parent
        unnamed = {record, *(str(folder / signature) for signature in _SIGNATURES)}
        if extra := set(self.files) - set(expected) - unnamed:
            raise self._refusal(f"its RECORD does not name {listed(map(repr, sorted(extra)[:3]))}")
        if absent := set(expected) - set(self.files):
            raise self._refusal(f"its RECORD names {listed(map(repr, sorted(absent)[:3]))}, which it does not hold")
        for name, digest in expected.items():
            if name != record and digest != self._digest(name, digest.partition("=")[0]):
                raise self._refusal(f"{name} is not the file that its RECORD names")

    def _check(self) -> None:
        members = self._zip.infolist()
        for info in members:
            if problem := _problem(info):
                raise self._refusal(f"{info.orig_filename!r} {problem}")
        counts = Counter(_folded(info.filename) for info in members)
        if repeated := [name for name, count in counts.items() if count > 1]:
            raise self._refusal(f"{repeated[0]!r} is in it twice")
        files = {_folded(info.filename) for info in members if not info.is_dir()}
        if inside := [name for name in counts if not files.isdisjoint(map(str, PurePosixPath(name).parents))]:
            raise self._refusal(f"{inside[0]!r} lies in what is a file")
        if sum(max(info.file_size, info.compress_size) for info in members) > MOST_BYTES:
            raise self._refusal(f"it unpacks to more than {MOST_BYTES >> 30} GiB")
        self._check_layout(members)

    def _check_layout(self, members: list[ZipInfo]) -> None:
        """Members follow one another without gaps, each as the directory says: a program that reads forward sees the same."""
        end = 0
        with self.path.open("rb") as file:
            for info in sorted(members, key=lambda info: info.header_offset):
                if info.header_offset != end:
                    raise self._refusal(f"bytes that belong to no file lie before {info.filename!r}")
                file.seek(end)
                end += self._check_header(file, info)
        if self._zip.comment or self._zip.start_dir != end:
            raise self._refusal("bytes that belong to no file lie at its end")

    def _check_header(self, file: IO[bytes], info: ZipInfo) -> int:
        """Compare the member's own header with the directory; the bytes that the member takes."""
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise self._refusal(f"{info.filename!r} lies outside the archive")
        flags, method, *sizes, name_length, extra_length = _HEADER.unpack(header)
        name, extra = file.read(name_length), file.read(extra_length)
        if _UNICODE_PATH in _extra_fields(extra):
            raise self._refusal(f"{info.filename!r} has a second name")
        known = (info.CRC, info.compress_size, info.file_size)
        taken = _HEADER.size + name_length + extra_length + info.compress_size
        file.seek(info.header_offset + taken)
        streamed = flags & _STREAMED
        behind = _descriptor(file.read(_DESCRIPTOR), *known) if streamed else 0
        sized = tuple(sizes) == known or (streamed and not any(sizes))
        told = (name, flags & _TOLD, method) == (
            info.orig_filename.encode(),
            info.flag_bits & _TOLD,
            info.compress_type,
        )
        if not (sized and told) or behind is None:
            raise self._refusal(f"{info.filename!r} is another file to programs that read forward")
        return taken + behind

    def _record(self, record: str) -> Mapping[str, str]:
        """RECORD's hash of each file; its own line has none."""
        try:
            rows = [row for row in csv.reader(io.StringIO(self.read(record).decode(), newline="")) if row]
        except (UnicodeDecodeError, csv.Error):
            raise self._refusal("its RECORD cannot be read") from None
        expected = {row[0]: row[1] if len(row) > 1 else "" for row in rows}
        if len(expected) < len(rows):
            raise self._refusal("RECORD names a file twice")
        for name, digest in expected.items():
            if name != record and digest.partition("=")[0] not in _HASHES:
                raise self._refusal(f"RECORD has no sha256 of {name}")
        return expected

    def _digest(self, name: str, algorithm: str) -> str:
        with self._reading(name) as file:
            digest = hashlib.new(algorithm)
            while block := file.read(1 << 20):
                digest.update(block)
        return f"{algorithm}={base64.urlsafe_b64encode(digest.digest()).rstrip(b'=').decode()}"

    @contextmanager
    def _reading(self, name: str) -> Iterator[IO[bytes]]:
        try:
            with self._zip.open(name) as file:
                yield file
        except Exception as error:  # whatever damaged bytes make zipfile raise: zlib.error, EOFError, BadZipFile, ...
            raise self._refusal(f"{name} cannot be read ({one_line(error)})") from None

    def _refusal(self, problem: str) -> RegistryError:
        return RegistryError(f"{self.path.name}: refused: {problem}; build it again with an ordinary build backend")


def _problem(info: ZipInfo) -> str:
    """What keeps a member from being an ordinary file or folder inside the wheel, or nothing."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ".." in parts or ":" in name or "\\" in name:
        return "points outside the folder it is unpacked into"
    if "" in parts or "." in parts or not name.isprintable():
        return "is no plain path"
    if not name.isascii() and not info.flag_bits & _UTF8:
        return "is a name in no known encoding"
    if _UNICODE_PATH in _extra_fields(info.extra):
        return "has a second name"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG) or (info.is_dir() and info.file_size):
        return "is a link or another special file"
    if info.flag_bits & _ENCRYPTED or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is encrypted or compressed in an unusual way"
    return ""


def _descriptor(found: bytes, *known: int) -> int | None:
    """The length of what stands behind a member's data in place of sums and sizes before it; None where it is another's."""
    for layout in ("<3L", "<L2Q"):
        for written in (b"PK\x07\x08" + struct.pack(layout, *known), struct.pack(layout, *known)):
            if found.startswith(written):
                return len(written)
    return None


def _folded(name: str) -> str:
    """The same for names that a file system may take for each other."""
    return normalize("NFD", normalize("NFD", name.rstrip("/")).casefold())


def _extra_fields(data: bytes) -> set[int]:
    """The ids of the extra fields of a member."""
    ids, place = set(), 0
    while place + 4 <= len(data):
        id, size = struct.unpack_from("<2H", data, place)
        ids.add(id)
        place += 4 + size
    return ids
