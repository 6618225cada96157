"""Names that go away: they warn for two minor versions, name the plugin, and then fail in one line that says what instead."""

import sys
from pathlib import Path

import pytest

from unlabeled_registry import deprecation
from unlabeled_registry.api import DEPRECATED, Deprecated
from unlabeled_registry.deprecation import InterfaceWarning
from unlabeled_registry.errors import PluginError
from unlabeled_registry.registry import discover
from unlabeled_registry.testing import write_distribution

OLD = (
    Deprecated("UnlabeledError", since="1.3", instead="catch Exception"),
    Deprecated("Objective.survey", since="1.4", instead="implement represent"),
)
IMPORTS = "from unlabeled import UnlabeledError\n"
SURVEYS = """\
class Objective:
    __module__ = "unlabeled.interfaces.objective"
    def survey(self): pass

class Part(Objective):
    def survey(self): pass
"""


INHERITS = SURVEYS.rpartition("    def")[0] + "    pass\n"
MANIFEST = """\
schema = 1
name = "unlabeled-{owner}"
api = "{api}"
summary = "Demo"
[[provides]]
kind = "objective"
id = "contrast"
object = "unlabeled_{owner}.parts:Part"
summary = "A part"
"""


def install(site: Path, owner: str, api: str = ">=1.0,<2", package: str = "", parts: str = INHERITS) -> None:
    files = {"__init__.py": package, "parts.py": parts}
    write_distribution(site, f"unlabeled-{owner}", MANIFEST.format(owner=owner, api=api), files)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> object:
    def set_version(version: str) -> None:
        monkeypatch.setattr(deprecation, "DEPRECATED", OLD)
        monkeypatch.setattr(deprecation, "API_VERSION", version)

    return set_version


def test_a_name_is_removed_two_minor_versions_after_its_first_warning() -> None:
    assert [entry.removed_in for entry in OLD] == ["1.5", "1.6"]
    assert all(entry.instead and entry.name for entry in DEPRECATED)


@pytest.mark.parametrize("version", ["1.3", "1.4"])
def test_a_name_that_is_imported_warns_and_names_the_plugin(site: Path, at: object, version: str) -> None:
    at(version)  # type: ignore[operator]
    install(site, "demo", package=IMPORTS)
    with pytest.warns(InterfaceWarning) as found:
        discover().load(discover().find("objective", "contrast"))
    assert {str(warning.message) for warning in found} == {
        "plugin 'unlabeled-demo' uses UnlabeledError, which interfaces 1.5 remove; catch Exception"
    }
    assert sys.modules["unlabeled_demo"].UnlabeledError


def test_code_of_no_plugin_is_named_too(at: object) -> None:
    at("1.3")  # type: ignore[operator]
    with pytest.warns(InterfaceWarning, match="test_deprecation' uses UnlabeledError, which interfaces 1.5 remove"):
        from unlabeled import UnlabeledError  # noqa: F401


def test_a_removed_name_says_what_instead(site: Path, at: object) -> None:
    at("1.5")  # type: ignore[operator]
    install(site, "demo", package=IMPORTS)
    with pytest.raises(PluginError, match=r"was removed in interfaces 1.5; catch Exception") as found:
        discover().load(discover().find("objective", "contrast"))
    assert found.value.plugin == "unlabeled-demo"


def test_a_method_that_is_implemented(site: Path, at: object) -> None:
    install(site, "demo", parts=SURVEYS)
    component = discover().find("objective", "contrast")
    at("1.5")  # type: ignore[operator]
    with pytest.warns(InterfaceWarning) as found:
        discover().load(component)
    assert [str(warning.message) for warning in found] == [
        "plugin 'unlabeled-demo' uses Objective.survey, which interfaces 1.6 remove; implement represent"
    ]
    at("1.6")  # type: ignore[operator]
    with pytest.raises(
        PluginError, match=r"AttributeError: Objective.survey is not called since interfaces 1.6; implement represent"
    ):
        discover().load(component)


@pytest.mark.filterwarnings("error")
def test_what_is_only_inherited_does_not_warn(site: Path, at: object) -> None:
    at("1.5")  # type: ignore[operator]
    install(site, "demo")
    discover().load(discover().find("objective", "contrast"))


def test_additions_keep_old_plugins_working(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "old", api=">=1.0,<2")
    install(site, "new", api=">=1.7")
    for version, states in (("1.0", ["incompatible", "enabled"]), ("1.9", ["enabled", "enabled"])):
        monkeypatch.setattr("unlabeled_registry.manifest.API_VERSION", version)
        assert [plugin.state for plugin in discover().plugins] == states
