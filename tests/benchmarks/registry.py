"""The time that `unlabeled plugins list` takes with many installed plugins, above that of `python -c pass`.

    python tests/benchmarks/registry.py [PLUGINS] [REPEATS]

prints milliseconds, the median and the best, with what the last command kept and without it (files are in the system's memory
in both), and with a policy that names them all; on a machine that does other things too, the best is nearer to the truth.
Importing any of the plugins raises. Then it prints what negotiating the objectives of 200 of them with the modalities of 200
takes, each with an encoder of its own and every twentieth with one for all modalities.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from unlabeled_registry.capabilities import CAPABILITIES, PAIRED
from unlabeled_registry.manifest import Component
from unlabeled_registry.negotiation import matrix
from unlabeled_registry.testing import write_distribution

MANIFEST = """\
schema = 1
name = "{name}"
api = ">=1.0,<2"
summary = "A plugin among many"
uses = ["standard/span-masking"]

[[provides]]
kind = "objective"
id = "contrast"
object = "{package}.objectives:Contrast"
summary = "Tells the views of one sample from those of others"
requires = ["local-features", "mask-token"]

[[provides]]
kind = "encoder"
id = "network"
object = "{package}.encoders:Network"
summary = "A network with local features"
modalities = ["audio/waveform"]
provides = ["tokens", "local-features", "mask-token"]

[[provides]]
kind = "recipe"
id = "pretrain"
object = "{package}:recipes/pretrain.yaml"
summary = "Pretrains the network"
"""


def main(plugins: int = 1000, repeats: int = 21) -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        site, config = Path(folder, "site"), Path(folder, "config")
        for number in range(plugins):
            name = f"unlabeled-plugin{number}"
            manifest = MANIFEST.format(name=name, package=name.replace("-", "_"))
            write_distribution(site, name, manifest, {"__init__.py": "raise ImportError('a listing imported me')\n"})
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path, "UNLABELED_CONFIG": str(config)}
        list_plugins = [sys.executable, "-m", "unlabeled", "plugins", "list"]
        listing = subprocess.run(list_plugins, env=environment, check=True, capture_output=True, text=True).stdout
        assert listing.count(" enabled") >= plugins, listing
        policy = Path(folder, "policy.toml")
        tables = (f'[[allowed]]\nname = "unlabeled-plugin{number}"\neditable = true\n' for number in range(plugins))
        policy.write_text("schema = 1\n" + "".join(tables))
        with_policy = environment | {"UNLABELED_POLICY": str(policy)}
        names = ("python -c pass", "plugins list", "plugins list, nothing kept", "plugins list, with a policy")
        times: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(repeats):  # in turns, so that what else the machine does falls on all
            for name, values in times.items():
                if name.endswith("nothing kept"):
                    (config / "manifests.json").unlink()
                command = [sys.executable, "-c", "pass"] if "pass" in name else list_plugins
                values.append(_seconds(command, with_policy if name.endswith("policy") else environment))
    nothing = times["python -c pass"]
    for name, values in times.items():
        more = [statistics.median(values) - statistics.median(nothing), min(values) - min(nothing)]
        above = f", {more[0] * 1000:.0f} ({more[1] * 1000:.0f}) more" if values is not nothing else ""
        print(f"{name:30}{_told(values)}{above}")
    parts = [part for number in range(200) for part in _plugin(f"plugin{number}", Random(number))]
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        cells = matrix(parts)
        seconds.append(time.perf_counter() - start)
    print(f"{f'negotiating {len(cells)} pairs':30}{_told(seconds)}")


def _plugin(owner: str, random: Random) -> list[Component]:
    """An objective, a modality and an encoder, with capabilities drawn at random."""
    capabilities = sorted(set(CAPABILITIES) - {PAIRED})
    for_all = random.random() < 0.05

    def part(kind: str, **values: object) -> Component:
        return Component(kind, f"{owner}/{kind}", kind, owner, f"unlabeled-{owner}", "package:Part", "A part", **values)  # type: ignore[arg-type]

    return [
        part("objective", requires=tuple(random.sample(capabilities, random.randint(0, 4)))),
        part("modality", encoder=f"{owner}/encoder"),
        part(
            "encoder",
            modalities=("*",) if for_all else (f"{owner}/modality",),
            provides=tuple(random.sample(capabilities, random.randint(1, 6))),
        ),
    ]


def _told(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:6.0f} ({min(seconds) * 1000:.0f}) ms"


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
