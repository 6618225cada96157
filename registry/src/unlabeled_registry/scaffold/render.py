"""A new plugin's project, rendered from templates: every kind is a working example, and any choice of kinds fits together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unlabeled_registry.api import API_VERSION
from unlabeled_registry.errors import RegistryError, listed
from unlabeled_registry.scaffold.names import Names
from unlabeled_registry.schema import KINDS, hint

TEMPLATES = Path(__file__).parent / "templates"


class Part(NamedTuple):
    """The file of one kind, and what the project's README says of it."""

    kind: str
    file: str
    about: str


PARTS = (
    Part("modality", "modality.py", "a kind of data: windows of numbers over time"),
    Part("encoder", "encoder.py", "a network with tokens: a few convolutions"),
    Part("augmentation", "augmentation.py", "a random change: some values become zero"),
    Part("objective", "objective.py", "a method: views of a sample find each other"),
    Part("evaluator", "evaluator.py", "a measure: the nearest class mean, beside its baselines"),
    Part("source", "source.py", "rows that are made: waves of three kinds"),
    Part("recipe", "recipes/{recipe_id}.yaml", "a run of it all"),
)


def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds in a list such as `modality,objective`; `RegistryError` where one does not exist."""
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    for kind in kinds:
        if kind not in KINDS:
            raise RegistryError(f"--kind: {kind!r} is no kind{hint(kind, KINDS)}")
    if not kinds:
        raise RegistryError(f"--kind: names no kind; choose some of {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in kinds)


def render(names: Names, kinds: Sequence[str], core_version: str) -> dict[str, str]:
    """Path in the project -> text, of a plugin that provides `kinds` and is written for the installed interfaces."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    context = _context(names, kinds, core_version)
    files = _files(names, kinds, context["recipe_id"])
    return {target: environment.get_template(template).render(context) for target, template in files.items()}


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write a project; `RegistryError` where the folder holds something already, or cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RegistryError(f"{folder} is there already and not an empty folder; name another with --folder")
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RegistryError(f"{folder}: cannot be written ({error.strerror}); name another with --folder") from None


def _files(names: Names, kinds: Sequence[str], recipe_id: str) -> dict[str, str]:
    """Path in the project -> template."""
    source = f"src/{names.package}"
    files = {name: f"{name}.jinja" for name in ("pyproject.toml", "README.md")} | {".gitignore": "gitignore.jinja"}
    files |= {
        f"{source}/{name}": f"package/{name}.jinja" for name in ("__init__.py", "unlabeled.toml", "conformance.toml")
    }
    for part in PARTS:
        if part.kind in kinds:
            template = "recipe.yaml" if part.kind == "recipe" else part.file
            files[f"{source}/{part.file.format(recipe_id=recipe_id)}"] = f"package/{template}.jinja"
            files[f"tests/test_{part.kind}.py"] = f"tests/test_{part.kind}.py.jinja"
    return files


def _context(names: Names, kinds: Sequence[str], core_version: str) -> dict[str, Any]:
    """What the templates may use: where a plugin brings no part of its own, a first-party one stands in."""
    has = {kind: kind in kinds for kind in KINDS}
    owner = names.owner
    recipe_id = f"{owner}-{'contrast' if has['objective'] else 'simclr'}"
    encoder = f"{owner}/convolution" if has["encoder"] else None
    # On the waves of `source` an untrained dilated convolution is as good as a trained one: random filters tell their shapes.
    stand_in = "standard/patch" if has["modality"] or has["source"] else "timeseries/dilated-convolution"
    chosen = {
        "modality_id": f"{owner}/reading" if has["modality"] else "timeseries/series",
        "encoder_id": encoder or stand_in,
        "objective_id": f"{owner}/contrast" if has["objective"] else "standard/simclr",
        "evaluator_id": f"{owner}/nearest-centroid" if has["evaluator"] else "standard/linear-probe",
        "source_id": f"sample:{owner}/waves" if has["source"] else "sample:world",
    }
    small = {f"{owner}/convolution": "", "standard/patch": ", width: 64, layers: 2, heads: 4"}.get(
        chosen["encoder_id"], ", width: 64"
    )
    uses = _uses(has, chosen, owner)
    tried_on_series = not has["modality"] and (has["objective"] or has["evaluator"])
    release = ">=" + ".".join(core_version.split(".")[:2])
    return {
        **has,
        **chosen,
        **names._asdict(),
        "summary": f"Examples of {listed(kinds)}",
        "api": f">={API_VERSION},<{int(API_VERSION.split('.')[0]) + 1}",
        "release": release,
        "dependencies": [f"unlabeled{release}", *(f"unlabeled-{other}{release}" for other in _others(has, uses))],
        "tried_on_series": tried_on_series,
        "companions": [f"unlabeled-{other}{release}" for other in ["standard"] + ["timeseries"] * tried_on_series],
        "uses": uses,
        "name": "reading" if has["modality"] else "series",
        "input_name": "values" if has["modality"] else "past_values",
        "encoder_entry": f"id: {chosen['encoder_id']}{small}",
        "label": "kind" if has["source"] else "motion",
        "small_options": "{train: 40, test: 20}" if has["source"] else "{items: {train: 40, validation: 20, test: 20}}",
        "recipe_id": recipe_id,
        "recipe_summary": f"{'InfoNCE' if has['objective'] else 'SimCLR'} on windows of numbers over time",
        "parts": [part._replace(file=part.file.format(recipe_id=recipe_id)) for part in PARTS if part.kind in kinds],
    }


def _uses(has: Mapping[str, bool], chosen: Mapping[str, str], owner: str) -> list[str]:
    """The other plugins' components that the manifest or the recipe names."""
    used = [chosen["encoder_id"]] if has["modality"] or has["recipe"] else []
    if has["recipe"]:
        used += [chosen["modality_id"], chosen["objective_id"], chosen["evaluator_id"]]
        used += [chosen["source_id"].removeprefix("sample:").replace("world", "standard/world")]
        if not has["modality"]:
            used += ["timeseries/time-warp"] + ([] if has["augmentation"] else ["timeseries/jitter"])
    return sorted({id for id in used if not id.startswith(f"{owner}/")})


def _others(has: Mapping[str, bool], uses: Sequence[str]) -> list[str]:
    """The other plugins without which this one does not work."""
    found = {id.partition("/")[0] for id in uses}
    if not has["modality"] and (has["encoder"] or has["augmentation"]):
        found.add("timeseries")
    return sorted(found)
