import json
import os
import sys
from pathlib import Path

import pytest

from unlabeled_registry.discovery import GROUP, Installed, distributions, installed_plugins
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


def test_a_manifest_with_a_fault(site: Path) -> None:
    text = manifest("unlabeled-demo").replace("objective", "objectiv")
    assert broken(site, text=text) == (
        "unlabeled.toml: provides[contrast].kind: 'objectiv' is no kind; did you mean 'objective'?"
    )


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
        entries = json.loads(self.cache().read_text())
        if file.stat().st_ctime_ns == entries[str(file)]["stamp"][2]:
            pytest.skip("this file system's clock did not advance between two writes")
        assert self.summary() == "After!"

    def test_plugins_that_are_gone_are_forgotten(self, site: Path) -> None:
        package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        installed_plugins()
        (site / "unlabeled_demo-1.0.dist-info" / "entry_points.txt").unlink()
        installed_plugins()
        assert package.name not in self.cache().read_text()

    @pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"x": 1}', '{"FILE": {"stamp": "STAMP", "data": 1}}'])
    def test_a_damaged_cache_does_no_harm(self, site: Path, content: str) -> None:
        package = write_distribution(site, "unlabeled-demo", manifest("unlabeled-demo"))
        status = (package / "unlabeled.toml").stat()
        stamp = json.dumps([status.st_size, status.st_mtime_ns, status.st_ctime_ns])
        self.cache().parent.mkdir(parents=True)
        self.cache().write_text(content.replace("FILE", str(package / "unlabeled.toml")).replace('"STAMP"', stamp))
        assert self.summary() == "Demo"
        assert self.summary() == "Demo"

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
