"""The time that `unlabeled plugins list` takes with many installed plugins, above that of `python -c pass`.

    python tests/benchmarks/registry.py [PLUGINS] [REPEATS]

prints medians in milliseconds: with the cache of parsed manifests, and without it. Importing any of the plugins raises.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def main(plugins: int = 200, repeats: int = 21) -> None:
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
        nothing = _median([sys.executable, "-c", "pass"], environment, repeats)
        warm = _median(list_plugins, environment, repeats)
        cold = _median(list_plugins, environment, repeats, forget=config / "manifests.json")
    print(f"python -c pass                    {nothing:6.0f} ms")
    print(f"plugins list, {plugins} plugins         {warm:6.0f} ms, {warm - nothing:.0f} more")
    print(f"plugins list, nothing cached      {cold:6.0f} ms, {cold - nothing:.0f} more")


def _median(command: list[str], environment: dict[str, str], repeats: int, forget: Path | None = None) -> float:
    times = []
    for _ in range(repeats):
        if forget is not None:
            forget.unlink(missing_ok=True)
        start = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
