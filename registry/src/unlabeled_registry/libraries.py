"""Libraries that clash with one another, told from their files, because importing a broken installation would fail."""

import re

from unlabeled_registry.discovery import distributions, package_folder
from unlabeled_registry.errors import ManifestError

AUDIO_CURE = (
    "torchaudio cannot be imported so, and breaks transformers; "
    'run: pip install "torch>=2.11,<2.15" "torchaudio>=2.11,<2.12"'
)


def audio_problems() -> list[str]:
    """What is wrong with the torchaudio that is installed beside torch."""
    installed = {found.name: found.version for found in distributions() if found.name in ("torch", "torchaudio")}
    torch, audio = (installed.get(name) and (build_of(name) or installed[name]) for name in ("torch", "torchaudio"))
    return audio_clash(torch, audio)


def audio_clash(torch: str | None, audio: str | None) -> list[str]:
    """Why this torchaudio cannot be imported beside this torch, from their full versions, such as `2.11.0+cu130`.

    torchaudio 2.11 is its last line: it is built against torch's interface up to 2.14, and for one version of CUDA.
    """
    if torch is None or audio is None:
        return []
    if tuple(int(number) for number in re.findall(r"\d+", torch)[:2]) >= (2, 15):
        return [f"torchaudio {audio} is older than torch {torch} allows: {AUDIO_CURE}"]
    build, audio_build = torch.partition("+")[2], audio.partition("+")[2]
    if build and audio_build and build != audio_build:
        return [f"torch {torch} and torchaudio {audio} were built for different devices: {AUDIO_CURE}"]
    return []


def build_of(package: str) -> str | None:
    """The version that a package's own version.py holds: unlike the distribution's it ends in +cpu or +cu130."""
    try:
        text = (package_folder(package) / "version.py").read_text(encoding="utf-8")
    except (OSError, ManifestError):
        return None
    found = re.search(r"""^__version__\b[^'"\n]*['"]([^'"\n]+)['"]""", text, re.MULTILINE)
    return found[1] if found else None
