import json
import sys
from pathlib import Path

import pytest

from unlabeled_registry.errors import PluginError, RegistryError, UnknownComponent
from unlabeled_registry.registry import Registry, discover
from unlabeled_registry.testing import write_distribution

HEADER = """\
schema = 1
name = "unlabeled-{owner}"
api = "{api}"
summary = "Demo"
"""
HEARS = HEADER.format(owner="two", api=">=1.0,<2") + "hooks = true\n"
PARTS = """\
class Objective:
    __module__ = "unlabeled.interfaces.objective"  # the real one imports torch

class Part(Objective): pass
"""
PART = """\
[[provides]]
kind = "{kind}"
id = "{id}"
object = "{object}"
summary = "A part"
"""


def install(site: Path, owner: str, *parts: str, api: str = ">=1.0,<2", **files: str) -> Path:
    """A plugin whose parts are written as `objective:contrast`."""
    package = f"unlabeled_{owner}"
    text = HEADER.format(owner=owner, api=api)
    for part in parts:
        kind, _, name = part.partition(":")
        place = f"{package}:recipes/{name}.yaml" if kind == "recipe" else f"{package}.parts:Part"
        text += PART.format(kind=kind, id=name, object=place)
    contents = {path.replace("__py", ".py").replace("__yaml", ".yaml"): code for path, code in files.items()}
    return write_distribution(site, f"unlabeled-{owner}", text, {"parts.py": PARTS} | contents)


def states(registry: Registry) -> dict[str, tuple[str, str]]:
    return {plugin.name: (plugin.state, plugin.reason) for plugin in registry.plugins}


def problem(registry: Registry, kind: str, id: str) -> str:
    with pytest.raises(UnknownComponent) as error:
        registry.find(kind, id)
    (line,) = error.value.problems
    return line


class TestStates:
    def test_installed_plugins_are_enabled(self, site: Path) -> None:
        install(site, "demo", "objective:contrast")
        assert states(discover()) == {"unlabeled-demo": ("enabled", "")}

    def test_a_broken_manifest_is_a_failed_plugin(self, site: Path) -> None:
        install(site, "demo", "objectiv:contrast", "objective:Contrast")
        (state, reason) = states(discover())["unlabeled-demo"]
        assert state == "failed"
        assert reason == (
            "unlabeled.toml: provides[contrast].kind: 'objectiv' is no kind; did you mean 'objective'?; "
            "unlabeled.toml: provides[Contrast].id: 'Contrast' must be lower-case letters, digits and hyphens, "
            "such as 'my-part'"
        )

    def test_other_interfaces_are_incompatible(self, site: Path) -> None:
        install(site, "demo", "objective:contrast", api=">=2")
        assert states(discover()) == {
            "unlabeled-demo": (
                "incompatible", "it needs interfaces >=2, and these are 1.0; install a release that fits",
            )
        }  # fmt: skip

    def test_disable_and_enable(self, site: Path) -> None:
        install(site, "demo", "objective:contrast")
        discover().disable("demo")
        assert states(discover())["unlabeled-demo"] == (
            "disabled", "`unlabeled plugins enable unlabeled-demo` allows it again",
        )  # fmt: skip
        discover().disable("unlabeled-demo")
        assert discover().components() == ()
        discover().enable("demo")
        assert states(discover())["unlabeled-demo"] == ("enabled", "")

    def test_a_broken_plugin_can_be_disabled(self, site: Path) -> None:
        install(site, "demo", "objectiv:contrast")
        discover().disable("demo")
        assert discover().plugin("demo").state == "disabled"

    def test_a_plugin_that_is_not_installed_cannot(self, site: Path) -> None:
        install(site, "demo", "objective:contrast")
        with pytest.raises(RegistryError, match=r"^no plugin 'domo' is installed; did you mean 'demo'[?]$"):
            discover().disable("domo")
        with pytest.raises(RegistryError, match=r"^no plugin 'zzz' is installed; `unlabeled plugins list` names all$"):
            discover().enable("zzz")

    def test_damaged_settings(self, site: Path, tmp_path: Path) -> None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "plugins.json").write_text("{")
        with pytest.raises(RegistryError, match=r"plugins.json: cannot be read; delete it"):
            discover()

    def test_settings_that_cannot_be_written(self, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(site, "demo", "objective:contrast")
        registry = discover()
        (tmp_path / "config" / "plugins.json").mkdir()
        monkeypatch.setattr("unlabeled_registry.registry.read_disabled", frozenset)
        with pytest.raises(RegistryError, match=r"cannot be written .*; name another folder in UNLABELED_CONFIG"):
            registry.disable("demo")
        assert [file.name for file in (tmp_path / "config").iterdir() if file.name.startswith(".")] == []

    @pytest.mark.parametrize("selection", ["demo", "unlabeled-demo", " demo , "])
    def test_a_selection_by_environment_variable(
        self, site: Path, monkeypatch: pytest.MonkeyPatch, selection: str
    ) -> None:
        install(site, "demo", "objective:contrast")
        install(site, "other", "objective:contrast")
        monkeypatch.setenv("UNLABELED_PLUGINS", selection)
        assert states(discover()) == {
            "unlabeled-demo": ("enabled", ""),
            "unlabeled-other": ("disabled", "UNLABELED_PLUGINS, or --only, does not name it"),
        }

    def test_an_empty_selection(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(site, "demo", "objective:contrast")
        monkeypatch.setenv("UNLABELED_PLUGINS", "")
        assert discover().components() == ()

    def test_a_selection_of_what_is_not_installed(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(site, "demo", "objective:contrast")
        monkeypatch.setenv("UNLABELED_PLUGINS", "demmo")
        with pytest.raises(
            RegistryError, match=r"^UNLABELED_PLUGINS or --only: no plugin 'demmo' is installed; did you mean"
        ):
            discover()


class TestFind:
    def test_by_full_and_by_short_id(self, site: Path) -> None:
        install(site, "demo", "objective:contrast", "source:contrast")
        registry = discover()
        assert registry.find("objective", "contrast") is registry.find("objective", "demo/contrast")
        assert registry.find("source", "contrast").kind == "source"
        assert [part.kind for part in registry.components()] == ["objective", "source"]
        assert [part.kind for part in registry.components("source")] == ["source"]

    def test_a_short_id_of_two_owners(self, site: Path) -> None:
        install(site, "one", "objective:contrast")
        install(site, "two", "objective:contrast")
        assert problem(discover(), "objective", "contrast") == (
            "objective 'contrast' is provided by several plugins; write one of: one/contrast, two/contrast"
        )
        assert discover().find("objective", "two/contrast").plugin == "unlabeled-two"

    @pytest.mark.parametrize(("typed", "meant"), [("contrst", "contrast"), ("demo/contrst", "demo/contrast")])
    def test_a_typing_error(self, site: Path, typed: str, meant: str) -> None:
        install(site, "demo", "objective:contrast")
        assert problem(discover(), "objective", typed) == f"unknown objective {typed!r}; did you mean {meant!r}?"

    def test_nothing_is_close(self, site: Path) -> None:
        install(site, "demo", "objective:contrast")
        assert problem(discover(), "objective", "zzz") == (
            "unknown objective 'zzz'; `unlabeled components --kind objective` lists what is installed"
        )

    def test_another_kind(self, site: Path) -> None:
        install(site, "demo", "objective:contrast")
        assert problem(discover(), "source", "contrast") == (
            "'demo/contrast' is of kind 'objective'; here a 'source' is needed"
        )

    @pytest.mark.parametrize("id", ["contrast", "demo/contrast"])
    def test_a_disabled_plugin(self, site: Path, id: str) -> None:
        install(site, "demo", "objective:contrast")
        discover().disable("demo")
        assert problem(discover(), "objective", id) == (
            f"objective {id!r} belongs to plugin 'unlabeled-demo', which is disabled: "
            "`unlabeled plugins enable unlabeled-demo` allows it again"
        )

    @pytest.mark.parametrize("id", ["contrast", "demo/contrast"])
    def test_an_incompatible_plugin(self, site: Path, id: str) -> None:
        install(site, "demo", "objective:contrast", api="<1")
        assert problem(discover(), "objective", id) == (
            f"objective {id!r} belongs to plugin 'unlabeled-demo', which is incompatible: "
            "it needs interfaces <1, and these are 1.0; install a release that fits"
        )

    def test_a_broken_plugin(self, site: Path) -> None:
        write_distribution(site, "unlabeled-demo", "schema = 9")
        assert problem(discover(), "objective", "demo/contrast") == (
            "objective 'demo/contrast' belongs to plugin 'unlabeled-demo', which is failed: unlabeled.toml: "
            "schema: 9 is not 1; upgrade unlabeled-registry to read it; upgrade or uninstall it"
        )
        assert problem(discover(), "objective", "contrast") == (
            "unknown objective 'contrast'; it may belong to a plugin whose manifest cannot be read: unlabeled-demo"
        )

    def test_a_usable_plugin_is_preferred_to_a_disabled_one(self, site: Path) -> None:
        install(site, "one", "objective:contrast")
        install(site, "two", "objective:contrast")
        discover().disable("one")
        assert discover().find("objective", "contrast").id == "two/contrast"


class TestLoad:
    def test_only_the_plugin_that_is_asked_for_is_imported(self, site: Path) -> None:
        install(site, "one", "objective:contrast")
        install(site, "two", "objective:contrast", __init____py="raise SystemExit(3)")
        registry = discover()
        part = registry.load(registry.find("objective", "one/contrast"))
        assert part.__name__ == "Part"
        assert registry.plugin("one").state == "active"
        assert registry.plugin("two").state == "enabled"
        assert "unlabeled_two" not in sys.modules
        assert [module.__name__ for module in registry.packages().values()] == ["unlabeled_one"]
        assert [component.plugin for component in registry.components()] == ["unlabeled-one", "unlabeled-two"]

    @pytest.mark.parametrize(
        ("code", "cause"),
        [
            ("raise SystemExit(3)", "SystemExit: 3"),
            ("raise SystemExit", "SystemExit"),
            ("import sys; sys.exit('no\\nlicence')", "SystemExit: no"),
            ("raise BaseException('odd')", "BaseException: odd"),
            ("raise GeneratorExit", "GeneratorExit"),
            ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
            ("def (", "SyntaxError: invalid syntax (__init__.py, line 1)"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
        ],
    )
    def test_whatever_an_import_raises_names_the_plugin(self, site: Path, code: str, cause: str) -> None:
        install(site, "demo", "objective:contrast", __init____py=code)
        registry = discover()
        component = registry.find("objective", "contrast")
        expected = (
            "plugin 'unlabeled-demo', which is failed: loading objective 'demo/contrast': "
            f"{cause}; upgrade or uninstall it"
        )
        with pytest.raises(PluginError) as error:
            registry.load(component)
        assert error.value.problems == (expected,)
        assert error.value.plugin == "unlabeled-demo"
        assert registry.plugin("demo").state == "failed"
        assert registry.components() == ()
        with pytest.raises(PluginError, match=r"which is failed: loading objective 'demo/contrast'"):
            registry.load(component)
        assert problem(registry, "objective", "contrast").endswith(expected)

    def test_an_object_that_is_not_there(self, site: Path) -> None:
        install(site, "demo", "objective:contrast", parts__py="")
        registry = discover()
        with pytest.raises(PluginError, match=r"AttributeError: module 'unlabeled_demo.parts' has no attribute 'Part'"):
            registry.load(registry.find("objective", "contrast"))

    def test_an_interrupt_is_the_users(self, site: Path) -> None:
        install(site, "demo", "objective:contrast", __init____py="raise KeyboardInterrupt")
        registry = discover()
        with pytest.raises(KeyboardInterrupt):
            registry.load(registry.find("objective", "contrast"))


class TestImportHooks:
    def test_only_plugins_that_hear_of_every_run_are_imported(self, site: Path) -> None:
        install(site, "one", "objective:contrast")
        write_distribution(site, "unlabeled-two", HEARS)
        registry = discover()
        assert registry.import_hooks() == []
        assert [module.__name__ for module in registry.packages().values()] == ["unlabeled_two"]
        assert registry.import_hooks() == []

    def test_one_that_fails_is_named_and_set_aside(self, site: Path) -> None:
        write_distribution(site, "unlabeled-two", HEARS, {"__init__.py": "raise SystemExit(3)"})
        registry = discover()
        assert registry.import_hooks() == [
            "plugin 'unlabeled-two', which is failed: importing unlabeled_two: SystemExit: 3; upgrade or uninstall it"
        ]
        assert registry.packages() == {}


class TestRead:
    def test_a_recipe(self, site: Path) -> None:
        package = install(site, "demo", "recipe:start", __init____py="raise SystemExit")
        (package / "recipes").mkdir()
        (package / "recipes" / "start.yaml").write_text("objective: contrast  # é\n", encoding="utf-8")
        registry = discover()
        assert registry.read(registry.find("recipe", "start")) == "objective: contrast  # é\n"

    def test_a_recipe_that_is_not_there(self, site: Path) -> None:
        package = install(site, "demo", "recipe:start")
        registry = discover()
        with pytest.raises(RegistryError) as error:
            registry.read(registry.find("recipe", "start"))
        assert error.value.problems[0].startswith(
            f"recipe 'demo/start': {package / 'recipes' / 'start.yaml'} cannot be read: FileNotFoundError: "
        )

    def test_what_is_no_recipe(self, site: Path) -> None:
        install(site, "demo", "objective:contrast")
        registry = discover()
        with pytest.raises(RegistryError, match=r"objective 'demo/contrast' is no recipe"):
            registry.read(registry.find("objective", "contrast"))


def test_settings_are_written_as_a_whole(site: Path, tmp_path: Path) -> None:
    install(site, "b", "objective:contrast")
    install(site, "a", "objective:contrast")
    discover().disable("b")
    discover().disable("a")
    assert json.loads((tmp_path / "config" / "plugins.json").read_text()) == {
        "disabled": ["unlabeled-a", "unlabeled-b"]
    }
