import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from unlabeled_registry.discovery import GROUP, Installed, distributions, installed_plugins
from unlabeled_registry.errors import ManifestError
from unlabeled_registry.testing import write_distribution

MANIFEST = """\
schema = 1
name = "{name}"
api = ">=1.0,<2"
summary = "{summary}"
[[provides]]
kind = "objective"
id = "contrast"
object = "{package}:Contrast"
summary = "Contrast"
"""
RAISES = {"__init__.py": "raise SystemExit('a listing imported me')\n"}


def manifest(name: str, summary: str = "Demo") -> str:
    return MANIFEST.format(name=name, package=name.replace("-", "_"), summary=summary)


def only_plugin() -> Installed:
    (plugin,) = installed_plugins()
    return plugin


def test_nothing_is_installed(site: Path) -> None:
    assert installed_plugins() == []


def test_two_hundred_plugins_are_found_and_none_is_imported(site: Path) -> None:
    for number in range(200):
        write_distribution(site, f"unlabeled-demo{number}", manifest(f"unlabeled-demo{number}"), RAISES)
    plugins = installed_plugins()
    assert len(plugins) == 200
    assert all(plugin.manifest is not None for plugin in plugins)
    assert not [name for name in sys.modules if name.startswith("unlabeled_demo")]


def test_the_first_of_a_name_on_the_path_hides_the_others(site: Path, tmp_path: Path) -> None:
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"), version="2.0")
    later = tmp_path / "later"
    write_distribution(later, "unlabeled-demo", manifest("unlabeled-demo"), version="1.0")
    sys.path.append(str(later))
    assert only_plugin().version == "2.0"


def test_paths_that_cannot_be_listed_are_passed_over(site: Path, tmp_path: Path) -> None:
    sys.path[:0] = [str(tmp_path / "missing"), str(tmp_path / "archive.zip")]
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
    assert only_plugin().name == "unlabeled-demo"


def test_an_editable_install_whose_folder_a_path_file_names(site: Path, tmp_path: Path) -> None:
    package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"), RAISES)
    source = tmp_path / "checkout" / "src"
    source.mkdir(parents=True)
    package.rename(source / package.name)
    sys.path.append(str(source))  # what Python does at its start with the lines of a .pth file
    found = only_plugin().manifest
    assert found is not None
    assert found.path == source / "unlabeled_demo" / "unlabeled.toml"


def test_an_editable_install_that_brings_its_own_finder(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.machinery import ModuleSpec
    from importlib.util import spec_from_file_location

    package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"), RAISES)
    package.rename(tmp_path / "elsewhere")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            file = tmp_path / "elsewhere" / "__init__.py"
            return spec_from_file_location(name, file) if name == "unlabeled_demo" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    found = only_plugin().manifest
    assert found is not None
    assert found.path == tmp_path / "elsewhere" / "unlabeled.toml"


def test_an_editable_install_whose_finder_fails(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo")).rename(site / "elsewhere")

    class Finder:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            raise SystemExit("the build failed")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert only_plugin().problems == (
        "package 'unlabeled_demo' cannot be found (SystemExit: the build failed); install the plugin again",
    )


class TestLegacyMetadata:
    def egg_info(self, site: Path, name: str, folder: Path, version: str = "3.1") -> None:
        """What setuptools leaves where it makes no .dist-info."""
        package = write_distribution(site, name, manifest(name), RAISES)
        dist_info = site / f"{package.name}-1.0.dist-info"
        (dist_info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (dist_info / "METADATA").rename(dist_info / "PKG-INFO")
        dist_info.rename(folder)

    @pytest.mark.parametrize("name", ["unlabeled_demo.egg-info", "unlabeled_demo-3.1-py3.11.egg-info"])
    def test_a_distribution_with_egg_info(self, site: Path, name: str) -> None:
        self.egg_info(site, "unlabeled-demo", site / name)
        found = only_plugin()
        assert (found.name, found.version) == ("unlabeled-demo", "3.1")
        assert found.manifest is not None

    def test_a_development_install_by_egg_link(self, site: Path, tmp_path: Path) -> None:
        source = tmp_path / "checkout"
        source.mkdir()
        self.egg_info(source, "unlabeled-demo", source / "unlabeled_demo.egg-info")
        (site / "unlabeled-demo.egg-link").write_text(f"{source}\n.\n")
        sys.path.append(str(source))  # what Python does at its start with the line of easy-install.pth
        found = only_plugin().manifest
        assert found is not None
        assert found.path == source / "unlabeled_demo" / "unlabeled.toml"

    def test_an_editable_install_is_preferred_to_the_egg_info_of_its_build(self, site: Path, tmp_path: Path) -> None:
        package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"), version="2.0")
        source = tmp_path / "checkout" / "src"
        source.mkdir(parents=True)
        package.rename(source / package.name)
        (source / "unlabeled_demo.egg-info").mkdir()
        (source / "unlabeled_demo.egg-info" / "PKG-INFO").write_text("Version: 1.0\n")
        (source / "unlabeled_demo.egg-info" / "entry_points.txt").write_text(f"[{GROUP}]\ndemo = unlabeled_demo\n")
        sys.path.append(str(source))
        assert (only_plugin().version, only_plugin().problems) == ("2.0", ())


def test_a_package_is_found_as_an_import_would_find_it(site: Path, tmp_path: Path) -> None:
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
    first = tmp_path / "first"
    first.mkdir()
    (first / "unlabeled_demo").mkdir()  # no package: a folder without __init__.py gives way to a later package
    sys.path.insert(0, str(first))
    assert only_plugin().manifest is not None
    (first / "unlabeled_demo").rmdir()
    (first / "unlabeled_demo.py").touch()
    importlib.invalidate_caches()
    assert only_plugin().problems == (
        "'unlabeled_demo' is a single module; a plugin is a package, which holds unlabeled.toml",
    )


def test_what_pip_leaves_where_it_was_interrupted_is_no_plugin(site: Path) -> None:
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
    (site / "unlabeled_demo-1.0.dist-info").rename(site / "~labeled_demo-1.0.dist-info")
    assert installed_plugins() == []


def test_installing_upgrading_and_removing_show_at_once(site: Path) -> None:
    assert installed_plugins() == []
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo", "Old"))
    write_distribution(site, "unlabeled-other", manifest("unlabeled-other"))
    assert [plugin.name for plugin in installed_plugins()] == ["unlabeled-demo", "unlabeled-other"]
    shutil.rmtree(site / "unlabeled_demo")
    shutil.rmtree(site / "unlabeled_demo-1.0.dist-info")
    assert only_plugin().name == "unlabeled-other"
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo", "New"), version="2.0")
    upgraded = installed_plugins()[0]
    assert upgraded.manifest is not None
    assert (upgraded.version, upgraded.manifest.version, upgraded.manifest.summary) == ("2.0", "2.0", "New")
    shutil.rmtree(site / "unlabeled_other")
    assert installed_plugins()[1].problems == ("package 'unlabeled_other' cannot be found; install the plugin again",)


def test_names_are_normalised(site: Path) -> None:
    write_distribution(site, "Unlabeled_Demo", None)
    assert [found.name for found in distributions()] == ["unlabeled-demo"]


def test_other_entry_points_are_no_plugins(site: Path) -> None:
    package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
    entry_points = site / "unlabeled_demo-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text("[console_scripts]\ndemo = demo:main\n")
    assert installed_plugins() == []
    entry_points.write_text(
        f"[console_scripts]\ndemo = demo:main\n\n[{GROUP}]\n# ours\ndemo = {package.name}\n\n[x]\ny = z\n"
    )
    assert only_plugin().manifest is not None


def broken(site: Path, entry_points: str | None = None, text: str | None = None) -> str:
    write_distribution(site, "unlabeled-demo", text)
    if entry_points is not None:
        (site / "unlabeled_demo-1.0.dist-info" / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n")
    plugin = only_plugin()
    assert plugin.manifest is None
    (problem,) = plugin.problems
    return problem


def test_a_package_without_a_manifest(site: Path) -> None:
    assert broken(site) == f"unlabeled.toml: missing; it must lie in {site / 'unlabeled_demo'}"


def test_a_manifest_that_is_no_toml(site: Path) -> None:
    assert broken(site, text="schema = ").startswith("unlabeled.toml: no valid TOML: Invalid value (at ")


def test_a_manifest_that_is_no_text(site: Path) -> None:
    package = write_distribution(site, "unlabeled-demo", None)
    (package / "unlabeled.toml").write_bytes(b"schema = \xff")
    assert only_plugin().problems[0].startswith("unlabeled.toml: no valid TOML: ")


def test_a_manifest_that_is_too_large(site: Path) -> None:
    assert broken(site, text="# " + "x" * 300_000) == (
        "unlabeled.toml: larger than 256 KiB; it holds names and summaries only"
    )


def test_a_manifest_that_would_never_end(site: Path) -> None:
    package = write_distribution(site, "unlabeled-demo", None)
    os.mkfifo(package / "unlabeled.toml")  # to open it would wait for a writer
    assert only_plugin().problems == (f"unlabeled.toml: missing; it must lie in {package}",)


def test_a_manifest_cannot_write_to_the_terminal(site: Path) -> None:
    text = manifest("unlabeled-demo", r"\u001b[2J")
    assert broken(site, text=text) == "unlabeled.toml: summary: must be one line of text"
    (site / "unlabeled_demo" / "unlabeled.toml").write_text(manifest("unlabeled-demo") + '"\\u001b[2J" = 1\n')
    assert only_plugin().problems[0].startswith(r"unlabeled.toml: provides[contrast].\x1b[2J: unknown key")


def test_of_many_problems_the_first_are_told(site: Path) -> None:
    package = write_distribution(
        site, "unlabeled-demo", manifest("unlabeled-demo") + "".join(f"x{n} = 1\n" for n in range(99))
    )
    problems = only_plugin().problems
    assert len(problems) == 9
    assert problems[-1] == "unlabeled.toml: and 91 more problems"
    assert package.is_dir()


def test_a_manifest_with_a_fault(site: Path) -> None:
    text = manifest("unlabeled-demo").replace("objective", "objectiv")
    assert broken(site, text=text) == (
        "unlabeled.toml: provides[contrast].kind: 'objectiv' is no kind; did you mean 'objective'?"
    )


def test_an_entry_point_that_is_none(site: Path) -> None:
    assert broken(site, "nothing at all") == (f"entry points: '' in {GROUP} is not the name of a top-level package")


def test_a_package_that_is_gone(site: Path) -> None:
    assert broken(site, "demo = unlabeled_gone") == (
        "package 'unlabeled_gone' cannot be found; install the plugin again"
    )


def test_a_package_below_the_top_level(site: Path) -> None:
    assert broken(site, "demo = unlabeled_demo.plugin") == (
        f"entry points: 'unlabeled_demo.plugin' in {GROUP} is not the name of a top-level package"
    )


def test_a_module_is_no_package(site: Path) -> None:
    (site / "unlabeled_module.py").touch()
    assert broken(site, "demo = unlabeled_module") == (
        "'unlabeled_module' is a single module; a plugin is a package, which holds unlabeled.toml"
    )


def test_two_packages_of_one_distribution(site: Path) -> None:
    assert broken(site, "a = unlabeled_demo\nb = unlabeled_other") == (
        f"entry points: {GROUP} names 2 packages, and must name one"
    )


def test_two_distributions_with_the_same_ids(site: Path) -> None:
    write_distribution(site, "demo", manifest("demo"))
    write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
    first, second = installed_plugins()
    assert first.problems == ("'unlabeled-demo' has the same ids; uninstall one of the two",)
    assert second.manifest is not None


def refuse(*arguments: object, **named: object) -> None:
    raise ManifestError("checked again")


class TestCache:
    def cache(self) -> Path:
        return Path(os.environ["UNLABELED_CONFIG"]) / "manifests.json"

    def summary(self) -> str:
        found = only_plugin().manifest
        assert found is not None
        return found.summary

    def test_what_it_holds_is_what_the_file_holds(self, site: Path) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo", "Kept"))
        assert installed_plugins() == installed_plugins()
        assert "Kept" in self.cache().read_text()

    def test_a_changed_file_is_read_again(self, site: Path) -> None:
        package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo", "Before"))
        assert self.summary() == "Before"
        file = package / "unlabeled.toml"
        status = file.stat()
        file.write_text(manifest("unlabeled-demo", "After!"))  # as long, and made to look as old
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        kept = json.loads(self.cache().read_text().partition("\n")[2])
        if file.stat().st_ctime_ns == kept["values"][str(file)][0][2]:
            pytest.skip("this file system's clock did not advance between two writes")
        assert self.summary() == "After!"

    def test_it_holds_for_one_distribution(self, site: Path) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        assert only_plugin().manifest is not None
        (site / "unlabeled_demo-1.0.dist-info").rename(site / "unlabeled_other-1.0.dist-info")
        assert only_plugin().problems == (
            "unlabeled.toml: name: 'unlabeled-demo' is not the distribution's name, 'unlabeled-other'",
        )

    def test_plugins_that_are_gone_are_forgotten(self, site: Path) -> None:
        package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        installed_plugins()
        (site / "unlabeled_demo-1.0.dist-info" / "entry_points.txt").unlink()
        installed_plugins()
        assert package.name not in self.cache().read_text()

    @pytest.mark.parametrize("content", ["", "{", "[]", "7", "x\n{}", "0\n{}", '1\n{"code": [], "values": {}}'])
    def test_a_damaged_cache_does_no_harm(self, site: Path, content: str) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        self.cache().parent.mkdir(parents=True)
        self.cache().write_text(content)
        assert self.summary() == "Demo"
        assert self.summary() == "Demo"

    def test_a_changed_byte_in_it_does_no_harm(self, site: Path) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo", "Kept"))
        assert self.summary() == "Kept"
        self.cache().write_text(self.cache().read_text().replace("Kept", "Lost"))
        assert self.summary() == "Kept"

    def test_it_does_not_outlive_the_code_that_checked_it(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo", "Kept"))
        assert self.summary() == "Kept"
        monkeypatch.setattr("unlabeled_registry.cache._CODE", ("errors.py",))
        monkeypatch.setattr("unlabeled_registry.discovery.parse", refuse)
        assert only_plugin().problems == ("unlabeled.toml: checked again",)

    def test_what_is_known_is_not_read_again(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        write_distribution(site, "unlabeled-broken", "schema = ")
        before = installed_plugins()
        monkeypatch.setattr("unlabeled_registry.discovery.read_toml", refuse)
        monkeypatch.setattr("unlabeled_registry.discovery.read_packages", refuse)
        assert installed_plugins() == before

    def test_a_cache_that_cannot_be_written_does_no_harm(
        self, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        (tmp_path / "file").touch()
        monkeypatch.setenv("UNLABELED_CONFIG", str(tmp_path / "file"))
        assert self.summary() == "Demo"

    def test_dates_are_no_reason_to_fail(self, site: Path) -> None:
        text = manifest("unlabeled-demo").replace('summary = "Demo"', "summary = 2026-01-01")
        assert broken(site, text=text) == "unlabeled.toml: summary: must be one line of text"
