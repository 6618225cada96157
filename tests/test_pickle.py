"""No file of this repository unpickles or pickles anything: read off the syntax tree, so that no alias hides it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for part in ("core", "registry", "plugins", "tests") for path in (ROOT / part).rglob("*.py"))
MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "shelve",
    "marshal",
    "joblib",
    "jsonpickle",
    "copyreg",
}
# Attributes that pickle, whatever the module is called: pandas.read_pickle, distributed's default file writer, ...
NAMES = {"read_pickle", "to_pickle", "FileSystemWriter", "FileSystemReader", "load_state_dict_from_url"}
TORCH = {"load", "save"}


def pickling(source: str) -> list[tuple[int, str]]:
    """(line, what) of everything in a module's source that pickles."""
    found = []
    aliases: dict[str, str] = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {name.asname: name.name for name in node.names if name.asname}
            found += [(node.lineno, name.name) for name in node.names if MODULES & set(name.name.split("."))]
        elif isinstance(node, ast.ImportFrom):
            module, names = node.module or "", {name.name for name in node.names}
            if MODULES & {*module.split("."), *names}:
                found.append((node.lineno, module))
            elif module in ("torch", "torch.serialization", "torch.jit") and names & TORCH:
                found.append((node.lineno, f"{module}.{(names & TORCH).pop()}"))
            found += [(node.lineno, name) for name in sorted(names & NAMES)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            first, _, rest = owner.partition(".")
            owner = aliases.get(first, first) + (f".{rest}" if rest else "")
            if node.attr in NAMES or (
                node.attr in TORCH and owner in ("torch", "torch.serialization", "torch.jit", "torch.package")
            ):
                found.append((node.lineno, f"{owner}.{node.attr}"))
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                refused = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "allow_pickle" and not refused:
                    found.append((node.lineno, "allow_pickle"))
            called = [node.args[0].value] if node.args and isinstance(node.args[0], ast.Constant) else []
            name = ast.unparse(node.func)
            if name in ("__import__", "importlib.import_module", "import_module") and MODULES & set(called):
                found.append((node.lineno, f"{name}({called[0]!r})"))
    return found


def test_nothing_is_pickled_anywhere() -> None:
    assert len(SOURCES) > 150
    found = {path.relative_to(ROOT).as_posix(): pickling(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "import numpy, joblib",
        "from pickle import loads",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "import torch as t\nsave = t.save",
        "from torch import load as read",
        "from torch.serialization import save",
        "import torch.serialization\ntorch.serialization.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import pandas\npandas.read_pickle('x')",
        "__import__('pickle')",
        "import importlib\nimportlib.import_module('dill')",
        "from torch.distributed.checkpoint import FileSystemWriter",
        "import torch.distributed.checkpoint as dcp\ndcp.FileSystemWriter('x')",
    ],
)
def test_every_way_of_pickling_is_seen(source: str) -> None:
    assert pickling(source)


@pytest.mark.parametrize(
    "source",
    [
        "from safetensors.torch import load_file, save_file",
        "import yaml\nyaml.load(text, Loader=Safe)",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "image.save('x.png')",
        "# pickle",
        "'''never torch.load'''",
    ],
)
def test_other_ways_of_reading_are_not(source: str) -> None:
    assert pickling(source) == []
