"""Writing a policy of what is installed."""

from unlabeled_registry.errors import RegistryError
from unlabeled_registry.install.distributions import installations, plugins_of
from unlabeled_registry.lock.contents import changed_files, contents
from unlabeled_registry.policy.files import SCHEMA

HEADER = f"""\
# The plugins that may be used, as they were installed when this was written. Written by `unlabeled plugins policy write`.
# It holds where it lies at /etc/unlabeled/policy.toml, as policy.toml beside the environment's settings, or in UNLABELED_POLICY.
schema = {SCHEMA}
"""


def policy_of_installed(*, editable: bool = False) -> tuple[str, list[str], int]:
    """The file that allows the installed plugins, a sentence on each that is left out, and how many are in it.

    editable: whether plugins from checkouts are allowed, whatever their files are. `RegistryError` where the files of an
    ordinary one are not those that were installed.
    """
    text, left_out, problems, count = HEADER, [], [], 0
    for name, item in sorted(plugins_of(installations()).items()):
        if item.editable and not editable:
            left_out.append(
                f"{name} is left out: it is installed from a checkout; --editable allows it, with any files"
            )
            continue
        if not item.editable and (changed := changed_files(item)):
            problems.append(f"{name} {item.version}: {changed[0]}; install it again before it is allowed")
            continue
        count += 1
        if item.editable:
            text += f'\n[[allowed]]\nname = "{name}"\neditable = true\n'
        else:
            text += f'\n[[allowed]]\nname = "{name}"\nversion = "{item.version}"\ncontents = "{contents(item)}"\n'
    if problems:
        raise RegistryError(*problems)
    return text, left_out, count
