"""Names of plugins as people write them: short or full, and never mistaken for one that looks alike."""

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from unlabeled_registry.errors import RegistryError, did_you_mean
from unlabeled_registry.manifest import owner_of

CORE = ("unlabeled", "unlabeled-registry")
FROZEN = (*CORE, "torch", "accelerate", "transformers")
"""What an installation leaves as it is unless it is asked to change it: every run of the environment depends on it."""

HERE = "this environment"
"""Where a plugin is looked for that is installed; else it is an index."""

ALIKE = 0.86  # of 1: `vison` and `videos` are like what comes with unlabeled, `radio` is not

_LOOKS = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "-": "", "_": "", ".": ""})


def parse_request(text: str) -> Requirement:
    """`NAME`, `NAME==1.0`, `NAME>=1.0,<2`; `RegistryError` for what is no such thing."""
    try:
        request = Requirement(text)
    except InvalidRequirement:
        wheel = "; publish a wheel into an index, or install it by `pip install FILE`" if text.endswith(".whl") else ""
        raise RegistryError(
            f"{text!r} is no plugin's name with a version, such as 'audio', 'audio==1.2' or 'audio>=1.0'{wheel}"
        ) from None
    if request.url or request.marker or request.extras:
        raise RegistryError(f"{text!r}: plugins come from the plugin index; write a name and a version alone")
    return request


def full_name(name: str, known: Collection[str], where: str) -> str:
    """The plugin's full name, with or without `unlabeled-` in `name`; `RegistryError` with the closest where none is known."""
    name = canonicalize_name(name)
    matches = [full for full in dict.fromkeys((name, f"unlabeled-{name}")) if full in known]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RegistryError(
            f"plugin {name!r}: {where} has {matches[0]!r} and {matches[1]!r}, which own the same ids; it must drop one"
        )
    shown = {owner_of(full) for full in known} if not name.startswith("unlabeled-") else known
    listing = "list" if where == HERE else "search"
    raise RegistryError(
        f"no plugin {name!r} in {where}{did_you_mean(name, shown) or f'; `unlabeled plugins {listing}` lists what it has'}"
    )


def check_alike(name: str, known: Iterable[str], where: str) -> None:
    """`RegistryError` where another name looks like this one (audio, audi0) or owns the same ids."""
    for other in known:
        if other != name and _look(owner_of(other)) == _look(owner_of(name)):
            raise RegistryError(
                f"plugin {name!r}: {where} also has {other!r}, which looks the same; one of them may be an imposter, "
                "so neither is installed until it is gone"
            )


def confusable(one: str, other: str) -> bool:
    """Whether two owners differ so little that one could be taken for the other, such as `vison` and `vision`."""
    return SequenceMatcher(None, _look(one), _look(other)).ratio() >= ALIKE


def _look(name: str) -> str:
    """The same for names that a reader may take for each other."""
    return name.translate(_LOOKS).replace("rn", "m").replace("vv", "w")
