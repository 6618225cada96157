"""The import path, listed once: where the metadata of installed distributions lies, and where packages lie."""

import os
import sys
from importlib.machinery import all_suffixes
from importlib.util import find_spec

from unlabeled_registry.errors import ManifestError, one_line
from unlabeled_registry.manifest import FILE_NAME


class ImportPath:
    """What the folders of `sys.path` hold by name, so that a thousand packages are found without a search for each."""

    def __init__(self) -> None:
        self.metadata: list[str] = []
        """The .dist-info and .egg-info of every distribution, in the order of the path; editable ones of any kind too."""
        self._packages: dict[str, str] = {}
        suffixes = tuple(all_suffixes())
        modules: set[str] = set()  # names that a module answers to before any package does
        for entry in dict.fromkeys(sys.path):
            names = _names(entry or os.curdir)
            for name in names:
                if "." not in name and name not in modules:
                    self._packages.setdefault(name, os.path.join(entry, name))
                elif name.endswith((".dist-info", ".egg-info")):
                    self.metadata.append(os.path.join(entry, name))
            modules.update(name.partition(".")[0] for name in names if name.endswith(suffixes))

    def package(self, name: str) -> str:
        """The folder of a top-level package, found without running its code; `ManifestError` where there is none."""
        if not name.isidentifier():
            raise ManifestError(f"{name!r} is not the name of a top-level package")
        folder = self._packages.get(name)
        if folder is not None and os.path.isfile(os.path.join(folder, "__init__.py")):
            return folder
        return _search(name)


def _names(entry: str) -> list[str]:
    try:
        return os.listdir(entry)
    except OSError:  # a zip file, or a folder that is gone
        return []


def _search(name: str) -> str:
    """Ask Python's own finders, and those that editable installs add: they are their build backends' code, not plugins'."""
    try:
        spec = find_spec(name)
        folders = list(spec.submodule_search_locations or ()) if spec else []
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a finder must not end the command
        raise ManifestError(f"package {name!r} cannot be found ({one_line(error)}); install the plugin again") from None
    if spec is None:
        raise ManifestError(f"package {name!r} cannot be found; install the plugin again")
    if not folders:
        raise ManifestError(f"{name!r} is a single module; a plugin is a package, which holds {FILE_NAME}")
    return folders[0]
