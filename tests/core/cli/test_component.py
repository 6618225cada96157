"""`unlabeled components ID`: what a component is, declares and may be told."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from unlabeled import UnlabeledError
from unlabeled.cli.component import show
from unlabeled.cli.main import main
from unlabeled.recipes.component import Description, describe_component
from unlabeled.recipes.overrides import apply_overrides
from unlabeled.recipes.resolve import resolve
from unlabeled_registry.manifest import Component
from unlabeled_registry.registry import discover
from unlabeled_registry.testing import write_distribution

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tell = Callable[..., tuple[object, str, str]]
REGISTRY = discover()
COMPONENTS = [part for part in REGISTRY.components() if part.object.startswith("unlabeled_")]
WITH_OPTIONS = [part for part in COMPONENTS if part.kind != "recipe"]
NAMES_A_NUMBER = re.compile(
    r"\b(?:[A-Z][\w-]*[A-Z0-9][\w-]*|paper)(?: [\d.]+)?:? (?:has )?\d|section \d|table \d|equation \d|appendix"
)
NAMES_A_PAPER = re.compile(r"(?:et al\.|[A-Z][a-z]+),? \(?(?:19|20)\d\d")

DEMO = """\
schema = 1
name = "unlabeled-clidemo{0}"
api = ">=1.0,<2"
summary = "Demo"
[[provides]]
kind = "evaluator"
id = "signal-loss"
object = "unlabeled_clidemo{0}.parts:SignalLoss"
summary = "A score"
"""
PARTS = """\
from unlabeled import Evaluator

class SignalLoss(Evaluator):
    def evaluate(self, subjects, data, context):
        return []
"""


def full_name(component: Component) -> str:
    return f"{component.kind} {component.id}"


@cache
def description(component: Component) -> Description:
    return describe_component(component, REGISTRY)


@pytest.mark.parametrize("component", WITH_OPTIONS, ids=full_name)
class TestEveryFirstPartyComponent:
    def test_each_option_says_what_it_is(self, component: Component) -> None:
        options = description(component).options
        assert [option.name for option in options if len(option.description) < 4] == []
        assert [option.name for option in options if option.type == "any"] == []
        ours = [option.description for option in options]
        assert [text for text in ours if text.endswith(".") or re.match(r"[A-Z][a-z]+ [a-z]", text)] == []

    def test_numbers_of_a_paper_stand_beside_its_name(self, component: Component) -> None:
        found = description(component)
        said = [option.description for option in found.options if NAMES_A_NUMBER.search(option.description)]
        page = " ".join([found.doc, component.summary, *(option.description for option in found.options)])
        assert not said or NAMES_A_PAPER.search(page), said

    def test_a_recipe_may_name_it_as_shown(self, component: Component) -> None:
        found = description(component)
        assert component.id in str(found.recipe)
        if found.override is not None and "VALUE" not in found.override:
            assert apply_overrides(found.recipe, [found.override]) == found.recipe

    @pytest.mark.parametrize("width", [80, 120])
    def test_it_fits_the_terminal(
        self, component: Component, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        show(component, REGISTRY, as_json=False)
        page, _, usage = capsys.readouterr().out.rpartition("\n\n")  # what is to be copied stays in one line
        assert usage.startswith("in a recipe: ")
        assert max(len(line) for line in page.splitlines()) <= width


def test_every_kind_is_among_them() -> None:
    assert {part.kind for part in COMPONENTS} >= {
        "modality",
        "encoder",
        "augmentation",
        "objective",
        "evaluator",
        "source",
    }


@pytest.fixture
def tell(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Tell]:
    """What `unlabeled ARGUMENTS` does in this process, with the plugins of `site`: exit code, output and errors."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("UNLABELED_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "80")

    def tell(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exit:
            main(arguments)
        return exit.value.code, *capsys.readouterr()

    yield tell
    for name in [name for name in sys.modules if name.startswith("unlabeled_clidemo")]:
        del sys.modules[name]


def test_an_objective(tell: Tell) -> None:
    code, text, errors = tell("components", "simclr")
    assert (code, errors) == (0, "")
    assert text.startswith("standard/simclr: objective of unlabeled-standard ")
    assert (
        "views: {role: strong, count: 2}\n"
        "needs whole batch: yes\n"
        "\n"
        "OPTION       TYPE         DEFAULT  ALLOWED\n"
        "temperature  float        0.1      above 0\n"
        "    tau of equation 1 (0.1 for large batches, 0.5 for CIFAR-10; section 5.1,\n"
        "    appendix B.9)\n"
        "hidden       int or null  null     at least 1\n"
    ) in text
    assert text.endswith(
        "in a recipe: objectives: [{id: standard/simclr, temperature: 0.1}]\n"
        "as an override, where a recipe names it: objectives.simclr.temperature=0.1\n"
    )


def test_a_third_partys_component_as_json(rows_plugin: Path, tell: Tell) -> None:
    code, text, errors = tell("components", "rows/row", "--json")
    assert (code, errors) == (0, "")
    found = json.loads(text)
    assert (found["kind"], found["plugin"], found["doc"]) == ("modality", "unlabeled-rows", "")
    assert found["options"] == [
        {
            "name": "width",
            "type": "int",
            "required": True,
            "default": None,
            "allowed": "at least 1",
            "description": "numbers of a row",
        }
    ]
    assert found["declares"]["columns"] == ["series"]
    assert found["declares"]["pipelines"] is None  # they may depend on the width, which has no default
    assert found["override"] == "modalities.row.width=VALUE"


@pytest.mark.parametrize("id", ["rows/perceptron", "rows/align-uniform"])
def test_a_class_without_a_docstring_borrows_none_of_torch(rows_plugin: Path, id: str) -> None:
    registry = discover()
    assert describe_component(registry.find(None, id), registry).doc == ""


def test_a_recipe_is_shown_without_an_import(tell: Tell) -> None:
    code, text, errors = tell("components", "clidemo-start")
    assert (code, errors) == (0, "")
    assert text.splitlines()[-1] == "run it:   unlabeled train clidemo/clidemo-start"
    assert "unlabeled_clidemo" not in sys.modules


def test_its_own_plugin_is_imported_and_no_other(tell: Tell, site: Path) -> None:
    write_distribution(site, "unlabeled-clidemoother", DEMO.format("other"), {"parts.py": PARTS})
    write_distribution(site, "unlabeled-clidemofine", DEMO.format("fine"), {"parts.py": PARTS})
    assert tell("components", "clidemofine/signal-loss")[0] == 0
    assert "unlabeled_clidemofine" in sys.modules
    assert "unlabeled_clidemoother" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["clidemo/net"], "plugin 'unlabeled-clidemo', which is failed: loading encoder 'clidemo/net': SystemExit: imported; upgrade or uninstall it"),
        (["clidemo/nett"], "unknown component 'clidemo/nett'; did you mean 'clidemo/net'?"),
        (["nothing-like-it"], "unknown component 'nothing-like-it'; `unlabeled components` lists what is installed"),
        (["clidemo/net", "--kind", "objective"], "'clidemo/net' is of kind 'encoder'; here a 'objective' is needed"),
        (["audio/wav2vec2"], "'audio/wav2vec2' is of the kinds encoder and objective; choose one by --kind encoder"),
        (["crop"], "component 'crop' is provided by several plugins; write one of: audio/crop, timeseries/crop"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown(tell: Tell, arguments: list[str], problem: str) -> None:
    assert tell("components", *arguments) == (2, "", f"error: {problem}\n")


@pytest.mark.parametrize("id", ["clidemo/net", "clidemo-start"])
def test_a_disabled_plugins(tell: Tell, id: str) -> None:
    assert tell("plugins", "disable", "clidemo")[0] == 0
    problem = (
        f"component {id!r} belongs to plugin 'unlabeled-clidemo', which is disabled: "
        "`unlabeled plugins enable unlabeled-clidemo` allows it again"
    )
    assert tell("components", id) == (2, "", f"error: {problem}\n")


def test_one_that_a_policy_does_not_allow(run: Run, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("schema = 1\n")
    done = run("components", "clidemo/net", UNLABELED_POLICY=str(policy))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: plugin 'unlabeled-clidemo' is not allowed by {policy}: it does not name this"
    )


def test_one_whose_own_code_fails_while_it_is_described(tell: Tell, site: Path) -> None:
    broken = PARTS.replace("    def evaluate", "    Config = 7\n    def evaluate")
    write_distribution(site, "unlabeled-clidemofine", DEMO.format("fine"), {"parts.py": broken})
    problem = (
        "evaluator 'clidemofine/signal-loss' of plugin 'unlabeled-clidemofine' cannot be described: AttributeError: "
        "'int' object has no attribute 'model_json_schema'; `python -m unlabeled.testing clidemofine` shows what else it breaks"
    )
    assert tell("components", "clidemofine/signal-loss") == (2, "", f"error: {problem}\n")


def test_an_unknown_option_says_where_to_read_of_them(rows_recipe: dict[str, Any]) -> None:
    recipe = apply_overrides(
        rows_recipe, ["modalities.row.wdth=3", "modalities.row.encoder={id: wav2vec2, hiden_size: 1}"]
    )
    with pytest.raises(UnlabeledError) as error:
        resolve(recipe, discover())
    assert error.value.problems[:2] == (
        "modalities.row.wdth: unknown key; did you mean width? `unlabeled components rows/row` lists its options",
        "modalities.row.encoder.hiden_size: unknown key; did you mean hidden_size? "
        "`unlabeled components audio/wav2vec2 --kind encoder` lists its options",
    )
