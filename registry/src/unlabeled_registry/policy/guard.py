"""The guard before Python's own finders, where there is a policy: no plugin's package is imported that is not allowed."""

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from unlabeled_registry.policy.files import Policy

if TYPE_CHECKING:
    from unlabeled_registry.policy.compare import Comparison


class NotAllowedImport(ImportError):
    """A plugin's package that a policy does not allow was about to be imported, perhaps by another plugin."""


class Guard:
    """Refuses imports of plugins that a policy does not allow; a plugin's files are hashed when it is first imported."""

    def __init__(self, policies: Sequence[Policy], packages: Mapping[str, str]) -> None:
        """packages: the import packages of plugins, and whose they are."""
        self._policies = policies
        self._packages = packages

    def refusal(self, name: str) -> str:
        """Why a plugin may not be imported, or nothing."""
        return self._comparison.refusal(name)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python asks here first; None sends it on to its own finders."""
        owner = self._packages.get(name)
        if owner is not None and (reason := self.refusal(owner)):
            raise NotAllowedImport(f"plugin {owner!r} is {reason}", name=name)
        return None

    @cached_property
    def _comparison(self) -> "Comparison":
        from unlabeled_registry.policy.compare import Comparison  # reads all metadata, which listing need not

        return Comparison(self._policies, _origin)


def guard(policies: Sequence[Policy], packages: Mapping[str, str]) -> Guard:
    """Set up the guard of this process; a new one takes the place of the last."""
    found = Guard(policies, packages)
    sys.meta_path[:] = [found, *(finder for finder in sys.meta_path if not isinstance(finder, Guard))]  # type: ignore[list-item]
    return found


def _origin(package: str) -> str | None:
    """The file that an import of the package would run: as Python's finders say, which see more than folders."""
    for finder in sys.meta_path:
        if not isinstance(finder, Guard) and (spec := finder.find_spec(package, None)):
            return spec.origin
    return None
