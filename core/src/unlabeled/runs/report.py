"""report.html: one page that shows what a run learned, with its baselines, without any other file or site."""

import base64
import io
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import yaml
from jinja2 import Environment
from markupsafe import Markup
from PIL import Image

from unlabeled.data.cache import BadCell
from unlabeled.data.reader import Example
from unlabeled.runs.evaluation import gained_nothing
from unlabeled.runs.features import FeatureStore
from unlabeled.runs.run import Run
from unlabeled.training.learner import Learner
from unlabeled.training.setup import Setup

_EXAMPLES = 6
_CANDIDATES = 256


def write_report(run: Run, setup: Setup, learner: Learner) -> Path:
    """Write `report.html` into the run folder."""
    metrics = [line for line in run.read("metrics.jsonl") if "loss" in line]  # all but the skipped steps
    evaluations = run.read("evaluations.jsonl")
    last = max((line["step"] for line in evaluations), default=0)
    lines = [line for line in evaluations if line["step"] == last]
    retrieved = _retrieved(setup, learner)
    page = (
        Environment(autoescape=True)
        .from_string(files("unlabeled.runs").joinpath("report.html.jinja").read_text(encoding="utf-8"))
        .render(
            title=run.folder.name,
            summary=run.recipe["summary"],
            lines=lines,
            notes=[note for note in map(gained_nothing, lines) if note],
            retrieved=retrieved,
            candidates=_CANDIDATES,
            curve=_curve(metrics),
            recipe=yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True),
        )
    )
    path = run.folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _retrieved(setup: Setup, learner: Learner) -> list[dict[str, Any]]:
    """For a few test samples the nearest others: of the second encoder where there are two, else of the same one."""
    split = next((name for name in ("test", "validation") if name in setup.data.splits), None)
    if split is None or setup.reader(setup.data.splits[split]).packed:
        return []
    store = FeatureStore(setup, setup.data, {"trained": learner}, _CANDIDATES)
    names = tuple(setup.modalities)
    query, candidate = names[0], names[1] if len(names) > 1 else names[0]
    features = store.features("trained", split).arrays
    pair = [features[name, True] for name in (query, candidate)]
    if pair[0].shape[1] != pair[1].shape[1]:
        return []
    similarity = _normalised(pair[0]) @ _normalised(pair[1]).T
    if query == candidate:
        np.fill_diagonal(similarity, -np.inf)
    examples = [_example(store, split, position) for position in store.positions(split)]
    rows = []
    for row in np.linspace(0, len(examples) - 1, min(_EXAMPLES, len(examples))).astype(int):
        nearest = np.argsort(-similarity[row])[:3]
        rows.append(
            {
                "query": _show(setup, query, examples[row]),
                "found": [
                    {"shown": _show(setup, candidate, examples[other]), "right": query != candidate and other == row}
                    for other in nearest
                ],
            }
        )
    return rows


def _example(store: FeatureStore, split: str, position: int) -> Example:
    try:
        return store.reader(split).example(position)
    except BadCell as error:  # positions hold what could be decoded a moment ago
        raise RuntimeError(str(error)) from None


def _show(setup: Setup, name: str, example: Example) -> Any:
    shown = setup.modalities[name].show(example.samples[name])
    return shown if isinstance(shown, str) else _picture(shown)


def _picture(pixels: np.ndarray) -> Any:
    """An (H, W, 3) uint8 array as an image in the page."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, "PNG")
    return Markup(f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">')


def _curve(metrics: Sequence[dict[str, Any]]) -> Any:
    """The loss over steps, as SVG in the page."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([line["step"] for line in metrics], [line["loss"] for line in metrics], color="#2a62c9")
    axes.set(xlabel="step", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return Markup(buffer.getvalue()[buffer.getvalue().index("<svg") :])


def _normalised(features: np.ndarray) -> np.ndarray:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
