"""Type checkers see the same public names that exist at run time."""

import inspect
import re
from pathlib import Path

import pytest

import unlabeled


def test_the_stub_holds_every_public_name() -> None:
    stub = Path(unlabeled.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = set(re.findall(r"import (\w+) as \1", stub)) | {"__version__"}
    assert names == set(dir(unlabeled))
    for name in names:
        assert getattr(unlabeled, name) is not None


INTERFACES = [
    name
    for name in unlabeled.__all__
    if str(getattr(getattr(unlabeled, name), "__module__", "")).startswith("unlabeled.interfaces")
]


@pytest.mark.parametrize("name", [name for name in INTERFACES if inspect.isclass(getattr(unlabeled, name))])
def test_help_says_what_each_attribute_holds(name: str) -> None:
    """A string below an attribute is a comment to `help`: what a plugin author is to know stands in the class's docstring."""
    type_ = getattr(unlabeled, name)
    silent = {"Config", "model_config"}
    own = [each for each in vars(type_).get("__annotations__", {}) if not each.startswith("_") and each not in silent]
    said = inspect.getdoc(type_) or ""
    missing = [each for each in own if not re.search(rf"^(\w+, )*{each}(, \w+)*: ", said, re.MULTILINE)]
    assert not missing, f"help(unlabeled.{name}) does not say what {', '.join(missing)} hold"
