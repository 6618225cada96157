"""Archives that two programs could unpack in two ways, or that reach beyond their folder, are refused before anything is read."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.index import archive as archive_module
from unlabeled_registry.index.archive import Archive
from unlabeled_registry.testing import write_wheel

RECORD = "unlabeled_radar-1.0.dist-info/RECORD"
OUTSIDE = "points outside the folder it is unpacked into"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return write_wheel(tmp_path, "unlabeled-radar", None, {"data.txt": "echo\n" * 50})


def refusal(wheel: Path) -> str:
    with pytest.raises(RegistryError) as error, Archive(wheel) as archive:
        archive.verify(RECORD)
    (problem,) = error.value.problems
    assert problem.startswith("unlabeled_radar-1.0-py3-none-any.whl: ")
    return problem


def add(wheel: Path, name: str | ZipInfo, content: str = "x") -> None:
    with warnings.catch_warnings(), ZipFile(wheel, "a") as archive:
        warnings.simplefilter("ignore")  # of a name that is there already
        archive.writestr(name, content)


def member(name: str, mode: int = 0o100644, **attributes: object) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr = mode << 16
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def test_a_sound_one_is_read(wheel: Path) -> None:
    add(wheel, member("unlabeled_radar/empty/", 0o040755), "")
    with Archive(wheel) as archive:
        archive.verify(RECORD)
        assert archive.read("unlabeled_radar/data.txt") == b"echo\n" * 50
        assert archive.files == (
            "unlabeled_radar-1.0.dist-info/METADATA", RECORD, "unlabeled_radar-1.0.dist-info/WHEEL",
            "unlabeled_radar/__init__.py", "unlabeled_radar/data.txt",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../evil.py", OUTSIDE),
        ("unlabeled_radar/../../evil.py", OUTSIDE),
        ("/etc/evil.py", OUTSIDE),
        ("unlabeled_radar\\..\\evil.py", OUTSIDE),
        ("C:/evil.py", OUTSIDE),
        ("unlabeled_radar/./evil.py", "is no plain path"),
        ("unlabeled_radar//evil.py", "is no plain path"),
        ("unlabeled_radar/evil.py\0.txt", "is no plain path"),
        ("unlabeled_radar/\x1b[2J.py", "is no plain path"),
    ],
)
def test_names_that_lead_elsewhere(wheel: Path, name: str, problem: str) -> None:
    info = ZipInfo("x")
    info.filename = name  # ZipInfo's own constructor would tidy the name
    add(wheel, info)
    assert f"refused: {name!r} {problem}; build it again with an ordinary build backend" in refusal(wheel)


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        (member("unlabeled_radar/link", 0o120777), "is a link or another special file"),
        (member("unlabeled_radar/link/", 0o120777), "is a link or another special file"),
        (member("unlabeled_radar/pipe", 0o010644), "is a link or another special file"),
        (member("unlabeled_radar/packed", compress_type=ZIP_BZIP2), "is encrypted or compressed in an unusual way"),
    ],
    ids=["link", "link as folder", "pipe", "bzip2"],
)
def test_members_that_are_no_plain_files(wheel: Path, info: ZipInfo, problem: str) -> None:
    add(wheel, info)
    assert problem in refusal(wheel)


@pytest.mark.parametrize("place", ["in the directory", "before the file"])
def test_a_member_with_a_second_name(wheel: Path, place: str) -> None:
    field = struct.pack("<2HB", 0x7075, 1, 1)
    with ZipFile(wheel, "a") as archive:
        archive.writestr(
            info := member("unlabeled_radar/two", extra=b"" if place == "in the directory" else field), "x"
        )
        info.extra = field if place == "in the directory" else b""
    assert "refused: 'unlabeled_radar/two' has a second name" in refusal(wheel)


@pytest.mark.parametrize("name", ["unlabeled_radar/data.txt", "unlabeled_radar/DATA.txt"])
def test_a_name_that_is_there_twice(wheel: Path, name: str) -> None:
    add(wheel, name)
    assert "refused: 'unlabeled_radar/data.txt' is in it twice" in refusal(wheel)


@pytest.mark.parametrize(
    "names", [("caf\u00e9.py", "cafe\u0301.py"), ("\u00c9.py", "\u00e9.py")], ids=["accent", "case"]
)
def test_names_that_some_file_systems_take_for_one(wheel: Path, names: tuple[str, str]) -> None:
    for name in names:
        add(wheel, f"unlabeled_radar/{name}")
    assert "is in it twice" in refusal(wheel)


def test_a_file_in_a_file(wheel: Path) -> None:
    add(wheel, "unlabeled_radar/data.txt/more.py")
    assert "refused: 'unlabeled_radar/data.txt/more.py' lies in what is a file" in refusal(wheel)


def change(wheel: Path, edit: Callable[[bytes], bytes]) -> None:
    wheel.write_bytes(edit(wheel.read_bytes()))


def test_bytes_before_the_archive(wheel: Path) -> None:
    change(wheel, lambda data: b"#!/bin/sh\n" + data)
    assert "bytes that belong to no file lie before" in refusal(wheel)


def test_bytes_after_the_archive(wheel: Path) -> None:
    with ZipFile(wheel, "a") as archive:
        archive.comment = b"PK\x03\x04"
    assert "bytes that belong to no file lie at its end" in refusal(wheel)


def test_a_file_that_only_a_reader_of_local_headers_sees(wheel: Path) -> None:
    """Programs that unpack while they download read forward, and would find a file that the directory does not name."""
    with ZipFile(wheel, "a") as archive:
        archive.writestr("unlabeled_radar/hidden.py", "x")
        archive.writestr("unlabeled_radar/last.py", "x")
        archive.filelist.pop(-2)
        del archive.NameToInfo["unlabeled_radar/hidden.py"]
    assert "bytes that belong to no file lie before 'unlabeled_radar/last.py'" in refusal(wheel)


@pytest.mark.parametrize("streamed", [False, True], ids=["sizes before it", "sizes behind it"])
def test_a_folder_that_is_a_file_to_a_reader_of_local_headers(wheel: Path, streamed: bool) -> None:
    """The directory says `unlabeled_radar/x/`, and the header before it `hidden.pth` with a few bytes: uv once believed that."""
    code = b"import evil"
    add(wheel, "unlabeled_radar/x/", "")
    data = wheel.read_bytes()
    start = data.index(b"PK\x03\x04", data.index(b"RECORD,,"))
    central, sizes = data.index(b"PK\x01\x02"), (zlib.crc32(code), len(code), len(code))
    flags, before = (8, (0, 0, 0)) if streamed else (0, sizes)
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, flags, 0, 0, 33, *before, 18, 0) + b"unlabeled_radar/x/"
    hidden = local.replace(b"unlabeled_radar/x/", b"unlabeled_r/x.pth\0"[:18]) + code
    hidden += struct.pack("<4s3L", b"PK\x07\x08", *sizes) if streamed else b""
    wheel.write_bytes(data[:start] + hidden + data[central:-6] + struct.pack("<LH", start + len(hidden), 0))
    assert "refused: 'unlabeled_radar/x/' is another file to programs that read forward" in refusal(wheel)


def test_a_streamed_archive_is_sound(tmp_path: Path, wheel: Path) -> None:
    """Written to a pipe, with sums and sizes behind each member."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *place: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with ZipFile(wheel) as old, ZipFile(pipe, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    wheel.write_bytes(pipe.getvalue())
    with Archive(wheel) as archive:
        archive.verify(RECORD)


def test_a_changed_file(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["unlabeled_radar/data.txt"] = b"other"
    with ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert "unlabeled_radar/data.txt is not the file that its RECORD names" in refusal(wheel)


def test_damaged_bytes(wheel: Path) -> None:
    change(wheel, lambda data: data.replace(b"echo\necho", b"echo\nECHO", 1))
    assert "unlabeled_radar/data.txt cannot be read (BadZipFile: Bad CRC-32" in refusal(wheel)


def test_an_unrecorded_file(wheel: Path) -> None:
    add(wheel, "unlabeled_radar/more.py")
    assert "its RECORD does not name 'unlabeled_radar/more.py'" in refusal(wheel)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("unlabeled_radar/none.py,sha256=x,1\n", "names 'unlabeled_radar/none.py', which it does not hold"),
        ("unlabeled_radar/data.txt,,\n", "has no sha256 of unlabeled_radar/data.txt"),
        ("unlabeled_radar/data.txt,md5=x,1\n", "has no sha256 of unlabeled_radar/data.txt"),
        ("a,sha256=x,1\na,sha256=y,1\n", "names a file twice"),
    ],
)
def test_records_that_say_too_much_or_too_little(tmp_path: Path, lines: str, problem: str) -> None:
    wheel = write_wheel(tmp_path, "unlabeled-radar", None, {"data.txt": "echo"})
    with ZipFile(wheel) as archive:
        contents = {name: archive.read(name).decode() for name in archive.namelist()}
    contents[RECORD] = lines + "".join(
        line for line in contents[RECORD].splitlines(keepends=True) if "data.txt" not in line or "data.txt" not in lines
    )
    with ZipFile(wheel, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert f"RECORD {problem}" in refusal(wheel)


def test_a_bomb(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MOST_BYTES", 100)
    assert "it unpacks to more than" in refusal(wheel)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    wheel = tmp_path / "unlabeled_radar-1.0-py3-none-any.whl"
    wheel.write_bytes(content)
    assert "cannot be opened as a wheel (BadZipFile: File is not a zip file); build it again" in refusal(wheel)
