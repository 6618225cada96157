"""What is installed, held to what policies allow: name, version, what RECORD says, and every file."""

import os
from collections.abc import Callable, Mapping, Sequence

from unlabeled_registry.install.distributions import Installation, installations
from unlabeled_registry.lock.contents import changed_files, contents
from unlabeled_registry.policy.files import Policy


class Comparison:
    """The installed distributions beside the policies; a plugin's files are hashed when it is asked about, once."""

    def __init__(self, policies: Sequence[Policy], origin: Callable[[str], str | None]) -> None:
        """origin: the file that an import of a package would run."""
        self._policies = policies
        self._origin = origin
        self._installed: Mapping[str, Installation] = installations()
        self._refusals: dict[str, str] = {}

    def refusal(self, name: str) -> str:
        """Why a plugin may not be imported, or nothing."""
        if name not in self._refusals:
            self._refusals[name] = self._compare(name)
        return self._refusals[name]

    def _compare(self, name: str) -> str:
        item = self._installed.get(name)
        if item is None:  # metadata of another kind, such as .egg-info
            return f"not allowed by {self._policies[0].file}: it has no RECORD to compare"
        hashed = False
        for policy in self._policies:
            if reason := policy.refusal(name, item.version):
                return reason
            entries = policy.allowed[name]
            problem = ""
            if item.editable:
                if not any(entry.editable for entry in entries):
                    problem = "it is installed from a checkout (editable)"
            elif contents(item) not in {entry.contents for entry in entries if entry.version == item.version}:
                problem = f"what is installed has other contents than {item.version} may have"
            elif not hashed:
                problem, hashed = self._damage(item), True
            if problem:
                return f"not allowed by {policy.file}: {problem}"
        return ""

    def _damage(self, item: Installation) -> str:
        """What is not as it was installed, or would be imported from elsewhere, or nothing."""
        changed = changed_files(item)
        if changed:
            return changed[0] + (f", and {len(changed) - 1} more files differ" if changed[1:] else "")
        package = item.package or ""
        origin = self._origin(package)
        if origin is None or os.path.realpath(os.path.dirname(origin)) != os.path.realpath(item.site / package):
            return f"its package would be imported from {origin or 'nowhere'}, which is not where it was installed"
        return ""
