import json
from pathlib import Path

import pytest

from unlabeled.cli.env import PACKAGES, audio_clash, build_of
from unlabeled.cli.main import main

CURE = 'run: pip install "torch>=2.11,<2.15" "torchaudio>=2.11,<2.12"'


@pytest.mark.parametrize(
    ("torch", "audio"),
    [
        ("2.14.1+cu130", "2.11.0+cu130"),
        ("2.11.0+cpu", "2.11.0+cpu"),
        ("2.14.1", "2.11.0"),
        ("2.14.1", "2.11.0+cu130"),
        ("2.15.0+cu132", None),
        (None, "2.11.0"),
        (None, None),
    ],
)
def test_pairs_that_work(torch: str | None, audio: str | None) -> None:
    assert audio_clash(torch, audio) == []


@pytest.mark.parametrize(
    ("torch", "audio", "cause"),
    [
        ("2.15.0+cu132", "2.11.0+cu130", "torchaudio 2.11.0+cu130 is older than torch 2.15.0+cu132 allows: "),
        ("2.15.0", "2.11.0", "torchaudio 2.11.0 is older than torch 2.15.0 allows: "),
        ("3.0", "2.11.0", "torchaudio 2.11.0 is older than torch 3.0 allows: "),
        ("2.14.1+cpu", "2.11.0+cu130", "torch 2.14.1+cpu and torchaudio 2.11.0+cu130 were built for different devices"),
        ("2.14.1+cu126", "2.11.0+cu130", "torch 2.14.1+cu126 and torchaudio 2.11.0+cu130 were built for different "),
    ],
)
def test_pairs_that_clash_come_with_their_cure(torch: str, audio: str, cause: str) -> None:
    (problem,) = audio_clash(torch, audio)
    assert problem.startswith(cause)
    assert problem.endswith(CURE)


@pytest.mark.parametrize("line", ["__version__ = '2.14.1+cu130'", '__version__: str = "2.14.1+cu130"'])
def test_the_build_is_read_from_the_packages_own_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "buildofdemo"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    assert build_of("buildofdemo") is None
    (package / "version.py").write_text(f"__all__ = ['__version__', 'cuda']\n{line}\ncuda = '13.0'\n")
    assert build_of("buildofdemo") == "2.14.1+cu130"
    assert build_of("no_such_package_at_all") is None


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["env", "--json"])
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"python", "platform", "prefix", "packages", "problems"}
    assert tuple(found["packages"]) == PACKAGES
    assert found["packages"]["torch"].startswith("2.")
