"""A plugin of graphs, written as an outsider would: what objectives for all modalities do with data that are no arrays."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unlabeled import Draws, View

PLUGIN = Path(__file__).parent / "unlabeled-graphs"
RECIPES = ("graphs-graphcl", "graphs-masked-nodes")
Command = Callable[..., Any]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built and installed plugin, which the tests' own process does not import from."""
    target = tmp_path_factory.mktemp("graphs-site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*command, str(target), str(PLUGIN)], check=True)
    return target


@pytest.fixture
def modality(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PLUGIN / "src"))
    from unlabeled_graphs.modality import Graph

    return Graph(Graph.Config())


def run(code: str, site: Path, folder: Path) -> None:
    """Run a script that imports the plugin as installed."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(code))
    variables = {**os.environ, "PYTHONPATH": str(site)}
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=variables, check=False)
    assert found.returncode == 0, found.stderr


def test_it_is_listed(command: Command, site: Path) -> None:
    plugins = json.loads(command("plugins", "list", "--json", PYTHONPATH=str(site)).stdout)
    assert {"name": "unlabeled-graphs", "version": "0.1.0", "state": "enabled", "reason": ""} in plugins
    recipes = command("recipes", PYTHONPATH=str(site)).stdout
    assert all(name in recipes for name in RECIPES)


def test_the_matrix_says_what_fits(command: Command, site: Path) -> None:
    cells = json.loads(command("matrix", "--json", PYTHONPATH=str(site)).stdout)
    found = {(cell["objective"], cell["modality"]): cell for cell in cells}
    assert found["standard/simclr", "graphs/graph"]["runs"], "GraphCL needs no objective of its own"
    assert found["graphs/masked-node-prediction", "graphs/graph"]["runs"]
    assert found["graphs/masked-node-prediction", "vision/image"]["reason"] == (
        "graphs/masked-node-prediction is for graphs/graph, not vision/image; choose another objective"
    )
    words = found["text/masked-language-modelling", "graphs/graph"]
    assert not words["runs"]
    assert words["reason"] == (
        "no encoder of graphs/graph provides vocabulary; install or write one that does (as text/bert does)"
    )
    pixels = found["standard/masked-reconstruction", "graphs/graph"]
    assert not pixels["runs"], "encoders for all modalities read arrays of numbers, and graphs are none"


def test_both_recipes_train_and_report_their_baselines(site: Path, tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        import numpy as np, unlabeled

        for name in {RECIPES!r}:
            members = {{"graphs-graphcl": 1, "graphs-masked-nodes": 3}}[name]
            small = [f"data.options={{{{train: 64, test: 32, members: {{members}}}}}}", "data.workers=0"]
            small += ["training.steps=3", "training.batch_size=16", "evaluation=[{{id: standard/knn}}]"]
            run = unlabeled.train(name, small, run=Path({str(tmp_path)!r}) / name, quiet=True)
            (line,) = run.read("evaluations.jsonl")
            assert set(line["baselines"]) == {{"untrained", "raw"}}
            ring = {{"nodes": [0] * 5, "edges": [[i, (i + 1) % 5, 0] for i in range(5)]}}
            chain = {{**ring, "edges": ring["edges"][:4]}}
            first, second, third = unlabeled.load(run.folder)["graph"].embed([ring, chain, ring])
            assert np.isfinite(first).all() and np.allclose(first, third) and not np.allclose(first, second)
    """
    run(code, site, tmp_path)


def test_both_recipes_are_the_same_on_any_number_of_processes_and_micro_batches(site: Path, tmp_path: Path) -> None:
    code = f"""
        import yaml
        from unlabeled.testing import Processes, check_invariance
        from unlabeled_registry.registry import discover

        if __name__ == "__main__":
            registry = discover()
            with Processes(2) as processes:
                for name in {RECIPES!r}:
                    path = {str(PLUGIN)!r} + f"/src/unlabeled_graphs/recipes/{{name}}.yaml"
                    recipe = yaml.safe_load(open(path))
                    recipe["modalities"]["graph"]["encoder"].update(width=8, layers=2)
                    recipe["data"]["options"] = {{**recipe["data"].get("options", {{}}), "train": 64, "test": 4}}
                    recipe["training"] = {{"batch_size": 14, "learning_rate": 1e-3}}
                    check_invariance(recipe, processes, on=(2,), micro_batches=(2,))
    """
    run(code, site, tmp_path)


def test_an_objective_that_claims_all_modalities_and_reads_nodes_is_caught(site: Path, tmp_path: Path) -> None:
    copy = tmp_path / "site"
    shutil.copytree(site, copy)
    manifest = copy / "unlabeled_graphs" / "unlabeled.toml"
    named = 'modalities = ["graphs/graph"] # it reads their nodes\n'
    assert named in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(named, ""))
    variables = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "unlabeled.testing", "graphs", "--only", "modalities"]
    found = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    assert found.returncode == 1, found.stderr
    assert "on data of another kind it fails with AttributeError" in found.stdout
    assert "or name its modalities in the manifest" in found.stdout


def molecules(modality: Any, count: int) -> list[Any]:
    from unlabeled_graphs.source import Molecules

    source = Molecules(Molecules.Config(), "train")
    return [modality.decode(source.row(index, ["molecule"])["molecule"]) for index in range(count)]


def view_of(modality: Any, samples: list[Any]) -> View:
    inputs = modality.collate(samples)
    return View(inputs, torch.arange(len(samples)), torch.ones(len(samples), dtype=torch.bool))


def graph_of(view: View, row: int) -> tuple[list[int], list[tuple[int, int, int]]]:
    """The nodes and edges of a row, without padding and what left."""
    length = int(view.inputs["attention_mask"][row].sum())
    nodes = view.inputs["nodes"][row, :length].tolist()
    return nodes, [(int(a), int(b), int(kind)) for a, b, kind in view.inputs["edges"][row] if kind > 0]


def test_dropped_nodes_take_their_edges_along_and_no_others(modality: Any) -> None:
    from unlabeled_graphs.augmentations import DropNodes, RatioConfig

    samples = molecules(modality, 8)
    for number, sample in enumerate(samples):
        sample["nodes"] = np.arange(len(sample["nodes"])) + 100 * number  # each node can be told
    before = view_of(modality, samples)
    after = DropNodes(RatioConfig(ratio=0.4))(before, Draws(0, 0, before.ids))
    left = 0
    for row in range(8):
        nodes, edges = graph_of(before, row)
        stayed, kept = graph_of(after, row)
        left += len(nodes) - len(stayed)
        assert stayed == [node for node in nodes if node in stayed], "in their order, at the row's start"
        named = {(nodes[a], nodes[b], kind) for a, b, kind in edges if {nodes[a], nodes[b]} <= set(stayed)}
        assert {(stayed[a], stayed[b], kind) for a, b, kind in kept} == named
    assert 0.25 < left / int(before.inputs["attention_mask"].sum()) < 0.55
    everything = DropNodes(RatioConfig(ratio=1.0))(before, Draws(0, 0, before.ids))
    assert everything.inputs["attention_mask"].sum(dim=1).tolist() == [1] * 8


def test_a_molecule_is_changed_alike_beside_larger_ones(modality: Any) -> None:
    from unlabeled_graphs.augmentations import DropEdges, DropNodes, MaskAttributes, RatioConfig

    samples = sorted(molecules(modality, 8), key=lambda sample: len(sample["nodes"]))
    small, all_ = view_of(modality, samples[:1]), view_of(modality, samples)
    assert small.inputs["nodes"].shape[1] < all_.inputs["nodes"].shape[1]
    for transform in (DropNodes, DropEdges, MaskAttributes):
        one, among = (transform(RatioConfig(ratio=0.4))(view, Draws(0, 0, view.ids)) for view in (small, all_))
        assert graph_of(one, 0) == graph_of(among, 0)
        assert graph_of(one, 0) != graph_of(small, 0)


def test_the_encoder_sums_over_neighbours_and_bonds(modality: Any) -> None:
    from unlabeled_graphs.encoder import GIN, GINConfig

    samples = molecules(modality, 3)
    view = view_of(modality, samples)
    encoder = GIN(GINConfig(width=8, layers=2), modality).eval()
    values = encoder(view).values
    for row in range(3):
        nodes, edges = graph_of(view, row)
        state = [encoder.nodes.weight[node] for node in nodes]
        for bonds, layer in zip(encoder.edges, encoder.layers, strict=True):
            sums = [value.clone() for value in state]
            for a, b, kind in edges:
                sums[a] = sums[a] + state[b] + bonds.weight[:, kind - 1]
                sums[b] = sums[b] + state[a] + bonds.weight[:, kind - 1]
            state = [value + layer(total) for value, total in zip(state, sums, strict=True)]
        assert torch.allclose(values[row, : len(nodes)], torch.stack(state), atol=1e-5)


@pytest.mark.parametrize(
    "cell",
    [
        "no graph",
        None,
        {"nodes": []},
        {"nodes": [], "edges": []},
        {"nodes": [0, 99], "edges": []},
        {"nodes": [0, 1], "edges": [[0, 2, 0]]},
        {"nodes": [0, 1], "edges": [[0, 1, 3]]},
        {"nodes": [0.5], "edges": []},
    ],
)
def test_a_cell_that_is_no_graph_is_refused_with_the_reason(modality: Any, cell: object) -> None:
    with pytest.raises(ValueError, match="graph"):
        modality.decode(cell)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "evaluator"), [("graphs-graphcl", "knn"), ("graphs-masked-nodes", "linear-probe")])
def test_it_learns_more_than_untrained_networks_and_counts_know(
    name: str, evaluator: str, site: Path, tmp_path: Path
) -> None:
    code = f"""
        from pathlib import Path
        import unlabeled

        for seed in range(3):
            options = [f"training.seed={{seed}}", "data.workers=0"]
            run = unlabeled.train({name!r}, options, run=Path({str(tmp_path)!r}) / str(seed), quiet=True)
            lines = {{line["evaluator"]: line for line in run.read("evaluations.jsonl")}}
            line = lines["standard/{evaluator}"]
            baselines = [line["baselines"][name]["accuracy"] for name in ("untrained", "raw")]
            assert line["metrics"]["accuracy"] > max(baselines) + 0.1, line
    """
    run(code, site, tmp_path)
