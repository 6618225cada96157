"""Promises of a plugin as a whole."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path

from unlabeled.recipes.load import load_recipe
from unlabeled.testing.conformance import exports
from unlabeled.testing.conformance.bench import Bench
from unlabeled.testing.conformance.recipes import named
from unlabeled_registry.errors import RegistryError
from unlabeled_registry.hooks import Hooks
from unlabeled_registry.manifest import Manifest

PICKLES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
PICKLING = ("torch.load", "torch.save", "pandas.read_pickle")


def manifest_of(bench: Bench) -> Manifest:
    """The manifest of the plugin on the bench."""
    manifest = bench.plugin.manifest
    assert manifest is not None
    return manifest


def _import(bench: Bench) -> None:
    problem = exports.fresh(bench).importing
    if problem:
        raise AssertionError(f"{bench.plugin.name}: {problem}")


def _hooks(bench: Bench) -> None:
    problems: list[str] = []
    Hooks(problems.append).register(bench.plugin.name, import_module(manifest_of(bench).package))
    if problems:
        raise AssertionError(problems[0].partition("; its hooks are not called")[0])


def _uses(bench: Bench) -> None:
    manifest = manifest_of(bench)
    for component in manifest.components:
        if component.kind != "recipe":
            continue
        for kind, id_ in named(load_recipe(component.id, [], bench.registry)):
            try:
                found = bench.registry.find(kind, id_)
            except RegistryError as error:
                raise AssertionError(f"{component.id}: {error.problems[0]}") from None
            if found.plugin != manifest.name and found.id not in manifest.uses:
                raise AssertionError(f"{component.id} names {found.id}, which `uses` in the manifest leaves out")


def _requirements(bench: Bench) -> None:
    name = bench.plugin.name
    found = requires(name) or []
    if not any(line.replace("_", "-").lower().startswith("unlabeled") for line in found):
        raise AssertionError(f'{name}: its distribution requires no unlabeled; add "unlabeled" to its dependencies')


def _pickle(bench: Bench) -> None:
    for place, used in _used(manifest_of(bench).path.parent):
        if used.partition(".")[0] in PICKLES or used in PICKLING or used.endswith("allow_pickle=True"):
            raise AssertionError(f"{place}: {used}; write safetensors and JSON")


def _communication(bench: Bench) -> None:
    for place, used in _used(manifest_of(bench).path.parent):
        if used == "torch.distributed" or used.startswith("torch.distributed."):
            raise AssertionError(f"{place}: {used}; name outputs in `gathers`, or call context.total")


def _used(folder: Path) -> Iterator[tuple[str, str]]:
    """Place and dotted name of whatever a package imports, and of the attributes of modules that it uses."""
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        modules: dict[str, str] = {}
        for node in ast.walk(tree):
            for name, alias in _imported(node):
                modules[alias] = name
                yield f"{path.relative_to(folder.parent)}:{getattr(node, 'lineno', 0)}", name
        for node in ast.walk(tree):
            place = f"{path.relative_to(folder.parent)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Attribute) and (dotted := _dotted(node)):
                first, _, rest = dotted.partition(".")
                yield place, f"{modules.get(first, first)}.{rest}"
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", 0) is True:
                yield f"{path.relative_to(folder.parent)}:{node.value.lineno}", "allow_pickle=True"


def _imported(node: ast.AST) -> Sequence[tuple[str, str]]:
    """Full name and local name of what an import brings."""
    if isinstance(node, ast.Import):
        return [(item.name, item.asname or item.name.partition(".")[0]) for item in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [(f"{node.module}.{item.name}", item.asname or item.name) for item in node.names]
    return []


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute of a name; nothing of other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := _dotted(node.value)):
        return f"{inner}.{node.attr}"
    return ""


PROMISES: Mapping[str, Callable[[Bench], None]] = {
    "import": _import,
    "hooks": _hooks,
    "uses": _uses,
    "requirements": _requirements,
    "pickle": _pickle,
    "communication": _communication,
}
