"""What runs in a probe's own process: imports a plugin, and writes what it finds to a file as it goes.

    python -P -m unlabeled_registry.probe_child REPORT PLUGIN|PACKAGE [--no-objects]

Each line of the report is a JSON object, so that one that is cut off says what was being done.
"""

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from json import dumps
from typing import Any

from unlabeled_registry.damage import damage_behind
from unlabeled_registry.discovery import installed_plugins, normalised
from unlabeled_registry.errors import RegistryError, one_line, printable
from unlabeled_registry.import_path import ImportPath
from unlabeled_registry.loading import load_object
from unlabeled_registry.manifest import Manifest
from unlabeled_registry.policy.files import read_policies
from unlabeled_registry.side_effects import Before

HEAVY = (
    "torch", "transformers", "datasets", "accelerate", "torchaudio", "torchvision", "tensorflow", "jax", "pandas", "sklearn",
    "scipy", "matplotlib",
)  # fmt: skip
_NETWORK = {"socket.connect", "socket.sendto", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"}

Say = Callable[..., None]


class _NoInput(io.TextIOBase):
    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        raise OSError("it reads standard input, and a run has none")

    read = readline


def main() -> None:
    """Probe one plugin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("report")
    parser.add_argument("target")
    parser.add_argument("--no-objects", action="store_true")
    options = parser.parse_args()
    sys.argv[1:] = []
    sys.stdin = _NoInput()  # type: ignore[assignment]
    with open(options.report, "a", encoding="utf-8") as file:

        def say(**values: Any) -> None:
            file.write(dumps(values) + "\n")
            file.flush()

        _refuse_network(say)
        try:
            _probe(options.target, not options.no_objects, say)
        except BaseException as error:  # KeyboardInterrupt too: whatever the plugin raises ends here
            say(problem=_told(error))
        say(done=True)
    os._exit(0)  # threads and exit handlers that the plugin left behind are not waited for


def _refuse_network(say: Say) -> None:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _NETWORK:
            return
        address = arguments[0] if event.startswith("socket.get") else arguments[1]
        if isinstance(address, str | bytes) and not event.startswith("socket.get"):
            return  # a socket of this machine's own (AF_UNIX)
        say(network=printable(f"{event.removeprefix('socket.')} {address!r}"))
        raise ConnectionRefusedError("it uses the network, which a probe refuses")

    sys.addaudithook(hook)


def _probe(target: str, objects: bool, say: Say) -> None:
    manifest = _manifest_of(target)
    package = manifest.package if manifest else target
    folder = str(manifest.path.parent) if manifest else ImportPath().package(package)
    if policies := read_policies():
        from unlabeled_registry.policy.guard import guard

        guard(policies, {name: item.name for item in installed_plugins() for name in item.packages})
    before = Before(package, folder)
    say(doing=f"importing {package}")
    start = time.perf_counter()
    import_module(package)
    say(seconds=time.perf_counter() - start, heavy=[name for name in HEAVY if name in sys.modules])
    for component in manifest.components if manifest and objects else ():
        say(doing=f"loading {component.kind} {component.id}")
        try:
            if component.kind != "recipe":
                load_object(component)
            elif not os.path.isfile(os.path.join(folder, component.object.partition(":")[2])):
                raise FileNotFoundError(f"{component.object} is not there")
        except BaseException as error:
            say(problem=_told(error))
    say(doing="looking at what it changed")
    say(effects=[printable(effect) for effect in before.side_effects()])


def _told(error: BaseException) -> str:
    return next(iter(damage_behind(error)), one_line(error))


def _manifest_of(target: str) -> Manifest | None:
    """The manifest of an installed plugin by its name or its package; None for a package that no plugin names."""
    for plugin in installed_plugins():
        if plugin.name == normalised(target) and plugin.manifest is None:
            raise RegistryError(*plugin.problems)
        if plugin.manifest is not None and (plugin.name == normalised(target) or plugin.manifest.package == target):
            return plugin.manifest
    return None


if __name__ == "__main__":
    main()
