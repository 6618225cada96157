"""Environments in which something else is damaged: commands about plugins work, or name it in one line."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

World = Any
Wheels = Any


@pytest.fixture
def odd(world: World, make_wheels: Wheels) -> World:
    """An environment with one sound plugin, as an installer leaves it."""
    world.unpack(make_wheels.plugin(world.root, "unlabeled-odd"))
    return world


def metadata(site: Path, folder: str, **files: bytes | str) -> Path:
    """What is left of a distribution: a metadata folder with these files."""
    place = site / folder
    place.mkdir()
    for name, content in files.items():
        file = place / name.replace("entry_points", "entry_points.txt")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return place


def broken_line(world: World) -> None:
    metadata(
        world.site, "other-1.0.dist-info", METADATA="Name: other\n", entry_points="[console_scripts]\nno such thing\n"
    )


def not_text(world: World) -> None:
    metadata(
        world.site, "another-1.0.dist-info", METADATA=b"Name: another\nAuthor: \xe9\n", entry_points=b"[x]\n\xff = y\n"
    )


def nothing_in_it(world: World) -> None:
    metadata(world.site, "empty-1.0.dist-info")
    metadata(world.site, "older.egg-info")


def no_name(world: World) -> None:
    metadata(world.site, ".dist-info")
    metadata(world.site, "-1.0.dist-info", METADATA="")


def no_folder(world: World) -> None:
    (world.site / "file-1.0.dist-info").write_text("a file")
    (world.site / "gone-1.0.dist-info").symlink_to("nowhere")


def left_by_pip(world: World) -> None:
    for name in ("unlabeled_odd", "unlabeled_odd-1.0.dist-info"):
        (world.site / name).rename(world.site / f"~{name[1:]}")
    world.unpack(world.root / "unlabeled_odd-1.0-py3-none-any.whl")


def own_metadata_is_not_text(world: World) -> None:
    file = world.site / "unlabeled_odd-1.0.dist-info" / "METADATA"
    file.write_bytes(file.read_bytes() + b"Author: \xe9\nRequires-Dist: torch\n")


def own_metadata_is_gone(world: World) -> None:
    (world.site / "unlabeled_odd-1.0.dist-info" / "METADATA").unlink()


def own_metadata_says_nothing(world: World) -> None:
    (world.site / "unlabeled_odd-1.0.dist-info" / "METADATA").write_text("")


def strange_path(world: World) -> None:
    """A zip file, a wheel, a file, folders that are closed or not there, and a relative one, all on the path."""
    with zipfile.ZipFile(world.root / "library.zip", "w") as archive:
        archive.writestr("zipped.py", "")
    (world.root / "closed").mkdir(mode=0)
    (world.root / "file").touch()
    wheel = world.root / "unlabeled_odd-1.0-py3-none-any.whl"
    places = (world.root / "library.zip", wheel, world.root / "file", world.root / "closed", "relative", "/nowhere")
    world.variables["PYTHONPATH"] = ":".join(map(str, places))


def reached_by_a_link(world: World) -> None:
    (world.root / "link").symlink_to(world.prefix)
    world.python = world.root / "link" / "bin" / "python"


def all_others(world: World) -> None:
    """Whatever may be wrong with what is not this plugin, together."""
    for damage in (broken_line, not_text, nothing_in_it, no_name, no_folder, left_by_pip):
        damage(world)


def path_and_link(world: World) -> None:
    strange_path(world)
    reached_by_a_link(world)


HARMLESS = (all_others, own_metadata_is_not_text, own_metadata_is_gone, own_metadata_says_nothing, path_and_link)
CHANGES_THE_PLUGIN = (own_metadata_is_not_text, own_metadata_is_gone, own_metadata_says_nothing)


@pytest.mark.parametrize("damage", HARMLESS)
def test_every_command_about_plugins_works(odd: World, damage: Any) -> None:
    damage(odd)
    listing = odd.done("list")
    assert "unlabeled-odd         1.0      enabled" in listing
    assert "failed" not in listing
    assert odd.done("info", "odd").startswith("unlabeled-odd 1.0: enabled\n")
    verified = odd.run("verify")
    if damage in CHANGES_THE_PLUGIN:
        assert "error: unlabeled-odd 1.0: unlabeled_odd-1.0.dist-info/METADATA " in verified.stderr
    else:
        assert "as installed: unlabeled-odd 1.0\n" in verified.stdout
        assert verified.returncode == 0, verified.stderr
    odd.done("uninstall", "odd", "--yes")
    assert not list(odd.site.glob("unlabeled_odd*"))


class TestTwoVersions:
    @pytest.fixture
    def twice(self, odd: World, make_wheels: Wheels) -> World:
        odd.unpack(make_wheels.plugin(odd.root, "unlabeled-odd", "2.0"))
        return odd

    def told(self, world: World) -> str:
        return (
            f"installed twice: {world.site} has unlabeled_odd-1.0.dist-info and unlabeled_odd-2.0.dist-info; "
            "uninstall it, and install it again"
        )

    def test_are_named_and_not_used(self, twice: World) -> None:
        assert f"unlabeled-odd         1.0      failed   {self.told(twice)}\n" in twice.done("list")
        assert twice.refused("verify") == f"error: unlabeled-odd 1.0: {self.told(twice)}\n"
        assert twice.refused("lock") == f"error: unlabeled-odd: {self.told(twice)}\n"

    def test_are_both_uninstalled(self, twice: World) -> None:
        twice.done("uninstall", "odd", "--yes")
        assert not list(twice.site.glob("unlabeled_odd*"))

    def test_in_two_folders_the_first_is_used(self, odd: World, make_wheels: Wheels) -> None:
        later = odd.root / "later"
        with zipfile.ZipFile(make_wheels.plugin(odd.root, "unlabeled-odd", "2.0")) as archive:
            archive.extractall(later)
        (odd.site / "zlater.pth").write_text(f"{later}\n")
        assert "unlabeled-odd         1.0      enabled" in odd.done("list")


def test_a_development_install_is_not_uninstalled_by_halves(odd: World) -> None:
    checkout = odd.root / "checkout"
    checkout.mkdir()
    info = odd.site / "unlabeled_odd-1.0.dist-info"
    (info / "METADATA").rename(info / "PKG-INFO")
    info.rename(checkout / "unlabeled_odd.egg-info")
    (odd.site / "unlabeled_odd").rename(checkout / "unlabeled_odd")
    (odd.site / "unlabeled-odd.egg-link").write_text(f"{checkout}\n.\n")
    (odd.site / "easy-install.pth").write_text(f"{checkout}\n")
    assert "unlabeled-odd         1.0      enabled" in odd.done("list")
    assert odd.refused("uninstall", "odd", "--yes") == (
        f"error: unlabeled-odd: {checkout}/unlabeled_odd.egg-info does not say which files are its; "
        "`pip uninstall unlabeled-odd` removes it where it can\n"
    )
    assert (
        "left out, as nothing says which files are theirs (install them from wheels): "
        f"unlabeled-odd ({checkout}/unlabeled_odd.egg-info)\n"
    ) in odd.run("lock").stderr


def test_nothing_is_deleted_behind_a_link(odd: World) -> None:
    (odd.site / "unlabeled_odd").rename(odd.root / "store")
    (odd.site / "unlabeled_odd").symlink_to(odd.root / "store")
    assert "unlabeled-odd         1.0      enabled" in odd.done("list")
    assert odd.refused("uninstall", "odd", "--yes") == (
        f"error: unlabeled-odd: {odd.site}/unlabeled_odd is a link, which neither pip nor uv makes; "
        "remove it as it was installed\n"
    )


def test_a_plugin_that_is_not_installed_is_to_be_looked_for_in_the_list(odd: World) -> None:
    assert odd.refused("uninstall", "zzz", "--yes") == (
        "error: no plugin 'zzz' in this environment; `unlabeled plugins list` lists what it has\n"
    )
