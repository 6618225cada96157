"""Type checkers see the same public names that exist at run time."""

import re
from pathlib import Path

import unlabeled


def test_the_stub_holds_every_public_name() -> None:
    stub = Path(unlabeled.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = set(re.findall(r"import (\w+) as \1", stub)) | {"__version__"}
    assert names == set(dir(unlabeled))
    for name in names:
        assert getattr(unlabeled, name) is not None
