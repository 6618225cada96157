import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

import pytest

from unlabeled.cli.matrix import print_matrix
from unlabeled_registry.negotiation import Cell
from unlabeled_registry.testing import write_distribution


class Run(Protocol):
    def __call__(self, *arguments: str, **variables: str) -> "CompletedProcess[str]": ...


def answer(run: Run, *arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def ours(items: list[dict[str, Any]], key: str = "id") -> list[dict[str, Any]]:
    return [item for item in items if "clidemo" in item[key]]


class TestPlugins:
    def test_list(self, run: Run) -> None:
        assert ours(answer(run, "plugins", "list"), "name") == [
            {"name": "unlabeled-clidemo", "version": "1.0", "state": "enabled", "reason": ""}
        ]
        lines = run("plugins", "list").stdout.splitlines()
        assert lines[0].split() == ["NAME", "VERSION", "STATE", "REASON"]
        assert ["unlabeled-clidemo", "1.0", "enabled"] in [line.split() for line in lines]

    def test_a_broken_plugin_is_listed_with_its_cause(self, run: Run, site: Path) -> None:
        write_distribution(site, "unlabeled-clidemobroken", "schema = 1")
        (broken,) = (p for p in answer(run, "plugins", "list") if p["name"] == "unlabeled-clidemobroken")
        assert broken["state"] == "failed"
        assert broken["reason"].startswith("unlabeled.toml: name: missing; unlabeled.toml: api: missing")
        assert run("plugins", "info", "clidemobroken").stdout.splitlines()[0] == "unlabeled-clidemobroken 1.0: failed"
        assert answer(run, "plugins", "info", "clidemobroken")["components"] == []

    def test_info(self, run: Run, site: Path) -> None:
        found = answer(run, "plugins", "info", "clidemo")
        assert found["name"] == "unlabeled-clidemo"
        assert found["path"] == str(site / "unlabeled_clidemo" / "unlabeled.toml")
        assert found["uses"] == ["standard/random-masking"]
        assert [part["id"] for part in found["components"]] == [
            "clidemo/signal",
            "clidemo/net",
            "clidemo/fitting",
            "clidemo/demanding",
            "clidemo/clidemo-start",
        ]
        text = run("plugins", "info", "unlabeled-clidemo").stdout
        package = site / "unlabeled_clidemo"
        assert text.startswith(
            "unlabeled-clidemo 1.0: enabled\n"
            "summary: A demonstration\n"
            "api: >=1.0,<2, and these interfaces are 1.0\n"
            f"package: unlabeled_clidemo, in {package}\n"
            "uses: standard/random-masking\n"
            "requires: nothing\n"
            f"installed: {package}-1.0.dist-info\n"
            "files: nothing says what they were when it was installed\n"
            "policy: none holds here\n"
            "conformance: `python -m unlabeled.testing clidemo` proves it, --index INDEX says what an index knows\n"
            "\n"
            "KIND       ID                     SUMMARY\n"
            "modality   clidemo/signal         Signals\n"
        )
        assert "objective  clidemo/demanding      Needs what the network lacks\n" in text

    def test_info_says_what_a_policy_thinks_of_it(self, run: Run, tmp_path: Path) -> None:
        policy = tmp_path / "policy.toml"
        policy.write_text("schema = 1\n")
        done = run("plugins", "info", "clidemo", UNLABELED_POLICY=str(policy))
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "unlabeled-clidemo 1.0: disabled"
        assert lines[1] == f"reason: not allowed by {policy}: it does not name this plugin"
        assert f"policy: not allowed by {policy}" in lines

    def test_disable_and_enable(self, run: Run) -> None:
        done = run("plugins", "disable", "clidemo")
        assert done.stdout == (
            "unlabeled-clidemo: disabled (`unlabeled plugins enable unlabeled-clidemo` allows it again)\n"
        )
        assert ours(answer(run, "components")) == []
        done = run("recipes", "clidemo-start")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "error: recipe 'clidemo-start' belongs to plugin 'unlabeled-clidemo', which is disabled: "
            "`unlabeled plugins enable unlabeled-clidemo` allows it again\n"
        )
        assert run("plugins", "enable", "clidemo").stdout == "unlabeled-clidemo: enabled\n"
        assert ours(answer(run, "components")) != []

    @pytest.mark.parametrize("command", ["info", "enable", "disable"])
    def test_a_plugin_that_is_not_installed(self, run: Run, command: str) -> None:
        done = run("plugins", command, "clidemoo")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: no plugin 'clidemoo' is installed; did you mean 'clidemo'?\n"


class TestComponents:
    def test_all(self, run: Run) -> None:
        found = ours(answer(run, "components"))
        assert {"kind": "encoder", "id": "clidemo/net", "plugin": "unlabeled-clidemo", "summary": "A network"} in found
        assert len(found) == 5
        assert ["encoder", "clidemo/net", "A", "network"] in [
            line.split() for line in run("components").stdout.splitlines()
        ]

    def test_of_one_kind(self, run: Run) -> None:
        found = ours(answer(run, "components", "--kind", "objective"))
        assert [part["id"] for part in found] == ["clidemo/demanding", "clidemo/fitting"]


class TestRecipes:
    def test_list(self, run: Run) -> None:
        assert ours(answer(run, "recipes")) == [
            {"id": "clidemo/clidemo-start", "plugin": "unlabeled-clidemo", "summary": "A first recipe"}
        ]
        assert ["clidemo/clidemo-start", "A", "first", "recipe"] in [
            line.split() for line in run("recipes").stdout.splitlines()
        ]

    @pytest.mark.parametrize("name", ["clidemo-start", "clidemo/clidemo-start"])
    def test_one(self, run: Run, site: Path, name: str) -> None:
        done = run("recipes", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (site / "unlabeled_clidemo" / "recipes" / "start.yaml").read_text()

    def test_unknown(self, run: Run) -> None:
        done = run("recipes", "clidemo-strat")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: unknown recipe 'clidemo-strat'; did you mean 'clidemo-start'?\n"


class TestMatrix:
    def test_json(self, run: Run) -> None:
        cells = {(cell["objective"], cell["modality"]): cell for cell in answer(run, "matrix")}
        assert cells["clidemo/fitting", "clidemo/signal"] == {
            "objective": "clidemo/fitting",
            "modality": "clidemo/signal",
            "runs": True,
            "reason": "with clidemo/net",
        }
        no = cells["clidemo/demanding", "clidemo/signal"]
        assert not no["runs"]
        assert no["reason"].startswith("no encoder of clidemo/signal provides causal; install or write one that does")

    def test_text(self, run: Run) -> None:
        lines = run("matrix", COLUMNS="80").stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert any("no encoder of clidemo/signal provides causal" in line for line in lines)

    def test_numbers_stand_for_reasons(self, capsys: pytest.CaptureFixture[str]) -> None:
        cells = [
            Cell("standard/simclr", "text/text", True, "with text/bert", "text/bert"),
            Cell("standard/simclr", "vision/image", True, "with vision/vit", "vision/vit"),
            Cell("standard/mae", "text/text", False, "no encoder of text/text provides patches; write one", None),
            Cell("standard/mae", "vision/image", True, "with vision/vit", "vision/vit"),
            Cell("crossmodal/clip", "text/text", True, "with a second modality", "text/bert"),
            Cell("crossmodal/clip", "vision/image", True, "with a second modality", "vision/vit"),
        ]
        print_matrix(cells, 80)
        assert capsys.readouterr().out == (
            "                 text   image\n"
            "standard/simclr  yes    yes\n"
            "standard/mae     no 1   yes\n"
            "crossmodal/clip  yes 2  yes 2\n"
            "\n"
            "  1  no encoder of text/text provides patches; write one\n"
            "  2  with a second modality\n"
        )

    def test_modalities_of_the_same_short_name_are_headed_in_full(self, capsys: pytest.CaptureFixture[str]) -> None:
        ids = ("a/signal", "b/signal", "c/other")
        print_matrix([Cell("a/x", id, True, "with a/net", "a/net") for id in ids], 80)
        assert capsys.readouterr().out.splitlines()[0].split() == ["a/signal", "b/signal", "other"]

    def test_many_modalities_are_split_to_fit(self, capsys: pytest.CaptureFixture[str]) -> None:
        reason = "no encoder of it provides " + "something " * 12
        cells = [
            Cell("standard/contrastive", f"owner/long-modality{number}", False, reason, None) for number in range(9)
        ]
        print_matrix(cells, 80)
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80
        assert all(cell.modality.removeprefix("owner/") in out for cell in cells)
        assert out.count("standard/contrastive") == 3
