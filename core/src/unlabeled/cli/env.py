"""`unlabeled env`: what is installed, read from files, because importing a broken installation would fail."""

import platform
import sys

import click

from unlabeled.cli.output import print_columns, print_json
from unlabeled_registry.damage import damage
from unlabeled_registry.discovery import distributions
from unlabeled_registry.libraries import audio_clash, build_of

PACKAGES = (
    "unlabeled", "unlabeled-registry", "torch", "torchaudio", "transformers", "accelerate", "datasets", "tokenizers",
    "safetensors", "numpy", "pydantic", "pyarrow", "soundfile", "av", "pillow", "scikit-learn",
)  # fmt: skip


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON: {python, platform, prefix, packages, problems}.")
def env(as_json: bool) -> None:
    """Show the versions that matter, and known clashes between them, with their cures."""
    installed = {found.name: found.version for found in distributions()}
    versions = {name: installed.get(name) for name in PACKAGES}
    versions |= {name: build_of(name) or versions[name] for name in ("torch", "torchaudio") if versions[name]}
    problems = [*audio_clash(versions["torch"], versions["torchaudio"]), *damage()]
    system = {"python": platform.python_version(), "platform": platform.platform(), "prefix": sys.prefix}
    if as_json:
        print_json(system | {"packages": versions, "problems": problems})
        return
    print_columns(
        ("NAME", "VERSION"), [*system.items(), *((name, version or "-") for name, version in versions.items())]
    )
    for problem in problems:
        click.echo(f"problem: {problem}", err=True)
