"""Whether the recipes learn: each on small real data, and all on the sample world, beside their baselines.

    python tests/benchmarks/quality.py --data FOLDER [--only NAME ...] [--seeds 0 1 2] [--runs FOLDER]
    python tests/benchmarks/quality.py --world [--only RECIPE ...] [--seeds 0 1 2]

Every run is `unlabeled train RECIPE` with `data.*` and `training.*` overrides alone, so each line can be repeated by hand.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Lines = list[dict[str, Any]]
Metrics = dict[str, dict[str, float]]
"""Subject -> metric -> value."""

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SERIES = {  # set -> batch size: a few sets have twenty rows
    "ItalyPowerDemand": 32,
    "GunPoint": 16,
    "ECG200": 32,
    "SyntheticControl": 64,
    "TwoLeadECG": 8,
    "SonyAIBORobotSurface1": 8,
    "Plane": 32,
    "DistalPhalanxOutlineAgeGroup": 64,
}


@dataclass(frozen=True)
class Case:
    """One row of the table of what recipes must reach."""

    recipe: str
    parts: tuple[str, ...]
    """Runs whose measures are averaged: speakers, sets."""
    overrides: Callable[[Path, str], list[str]]
    measure: Callable[[Lines], Metrics]
    target: str
    reached: Callable[[Metrics], bool]
    seeds: int = 1


def pick(evaluator: str, **names: str) -> Callable[[Lines], Metrics]:
    """New name -> metric of an evaluator, for every subject; `name on PLACE` picks one line of several."""

    def measure(lines: Lines) -> Metrics:
        found: Metrics = {"trained": {}, "untrained": {}, "raw": {}}
        for line in lines:
            if not line["evaluator"].endswith(evaluator):
                continue
            subjects = {"trained": line["metrics"], **line["baselines"]}
            for new, wanted in names.items():
                metric, _, on = wanted.partition(" on ")
                for subject, metrics in subjects.items():
                    if metric in metrics and on in ("", line["on"]):
                        found[subject][new] = metrics[metric]
        return found

    return measure


def split_files(folder: str, column: str, label: str) -> Callable[[Path, str], list[str]]:
    """Overrides for a data set of train.parquet and test.parquet; `{part}` in the folder is the part's name."""

    def overrides(data: Path, part: str) -> list[str]:
        root = data / folder.format(part=part)
        encoder, _, name = column.partition("=")
        return [
            f"data.splits.train.source={root / 'train.parquet'}",
            f"data.splits.test.source={root / 'test.parquet'}",
            f"data.columns.{encoder}={name or encoder}",
            f"data.label={label}",
        ]

    return overrides


def emoji(data: Path, part: str) -> list[str]:
    """Emoji without skin tones, with name and keywords as captions."""
    return [
        f"data.source={data / 'noto_emoji' / 'noto_emoji.parquet'}",
        "data.split_column=split",
        "data.where.has_tone=false",
        "data.columns={image: image, text: [name, keywords]}",
        "data.label=group",
    ]


def corpus(data: Path, part: str) -> list[str]:
    """Books and speeches, scored on the validation split."""
    return [
        f"data.source={data / 'public_domain_text' / 'corpus.parquet'}",
        "data.split_column=split",
        "data.columns.text=text",
        "data.splits={train: {}, test: {split: validation}}",
    ]


def digits(data: Path, part: str) -> list[str]:
    """Spoken digits, official split."""
    return split_files("fsdd", "audio", "digit")(data, part)


def left_out(data: Path, part: str) -> list[str]:
    """Spoken digits with one speaker in the test split alone."""
    files = f"[{data / 'fsdd' / 'train.parquet'}, {data / 'fsdd' / 'test.parquet'}]"
    return [
        f"data.source={files}",
        "data.columns.audio=audio",
        "data.label=digit",
        f"data.splits.train.without.speaker={part}",
        f"data.splits.test.where.speaker={part}",
    ]


def series(data: Path, part: str) -> list[str]:
    """One UCR set."""
    return [*split_files("ucr/{part}", "series", "label")(data, part), f"training.batch_size={SERIES[part]}"]


def at_least(name: str, value: float) -> Callable[[Metrics], bool]:
    """The trained encoder's metric is at least `value`."""
    return lambda metrics: metrics["trained"][name] >= value


def gain(name: str, value: float) -> Callable[[Metrics], bool]:
    """The trained encoder's metric is at least `value` above the untrained one's."""
    return lambda metrics: metrics["trained"][name] - metrics["untrained"][name] >= value


def wav2vec2_reached(metrics: Metrics) -> bool:
    """Perplexity of each codebook at least a quarter of its 64 entries, and accuracy five times chance."""
    trained = metrics["trained"]
    perplexities = [value for name, value in trained.items() if name.startswith("perplexity")]
    return min(perplexities) >= 0.25 * 64 and trained["accuracy"] >= 5 * trained["chance"]


CASES = {
    "clip": Case(
        "clip",
        ("",),
        emoji,
        pick("retrieval", image_to_text="recall@1 on image->text", text_to_image="recall@1 on text->image"),
        "recall@1 at least 0.20 in each direction",
        lambda metrics: min(metrics["trained"].values()) >= 0.20,
        seeds=3,
    ),
    "image-simclr": Case(
        "image-simclr",
        ("",),
        split_files("cifar10_25k", "image", "label"),
        pick("linear-probe", accuracy="accuracy"),
        "linear probe at least 0.54",
        at_least("accuracy", 0.54),
    ),
    "image-mae": Case(
        "image-mae",
        ("",),
        split_files("cifar10_25k", "image", "label"),
        pick("linear-probe", accuracy="accuracy"),
        "linear probe at least 0.54",
        at_least("accuracy", 0.54),
    ),
    "text-mlm": Case(
        "text-mlm",
        ("",),
        corpus,
        pick("masked-prediction", loss="loss"),
        "masked loss at least 0.6 nats below the unigram entropy (raw)",
        lambda metrics: metrics["raw"]["loss"] - metrics["trained"]["loss"] >= 0.6,
    ),
    "audio-simclr": Case(
        "audio-simclr",
        SPEAKERS,
        left_out,
        pick("linear-probe", accuracy="accuracy"),
        "digit probe of a speaker left out, mean of six, at least untrained + 0.12",
        gain("accuracy", 0.12),
    ),
    "audio-wav2vec2": Case(
        "audio-wav2vec2",
        ("",),
        digits,
        lambda lines: _merged(
            pick(
                "objective-loss",
                perplexity_1="wav2vec2/codebook_perplexity_1",
                perplexity_2="wav2vec2/codebook_perplexity_2",
                accuracy="wav2vec2/contrastive_accuracy",
                chance="wav2vec2/contrastive_chance",
            )(lines),
            pick("linear-probe", probe="accuracy")(lines),
        ),
        "perplexity at least 16 of 64 in each codebook, contrastive accuracy at least 5 times chance",
        wav2vec2_reached,
    ),
    "video-mae": Case(
        "video-mae",
        ("",),
        split_files("video_actions", "video", "camera"),
        pick("objective-loss", loss="masked-reconstruction/reconstruction"),
        "masked-patch loss at most 0.70",
        lambda metrics: metrics["trained"]["loss"] <= 0.70,
    ),
    "video-simclr": Case(
        "video-simclr",
        ("",),
        split_files("video_actions", "video", "camera"),
        pick("linear-probe", accuracy="accuracy"),
        "camera probe at least 0.90",
        at_least("accuracy", 0.90),
    ),
    "timeseries-simclr": Case(
        "timeseries-simclr",
        tuple(SERIES),
        series,
        pick("svm-probe", accuracy="accuracy"),
        "SVM, mean of eight sets, at least 0.88 and at most 0.5 points below untrained",
        lambda metrics: metrics["trained"]["accuracy"] >= 0.88 and gain("accuracy", -0.005)(metrics),
        seeds=3,
    ),
}


@dataclass(frozen=True)
class WorldCase:
    """What a recipe is measured by on the sample world, after how many steps: enough to tell trained from untrained."""

    measure: Callable[[Lines], Metrics]
    steps: int
    more_is_better: bool = True


WORLD_SIZE = ("data.options.items.train=4096", "data.options.items.test=2048")
RECALL = pick("retrieval", value="recall@1 on image->text")
PROBE = pick("linear-probe", value="accuracy")
WORLD = {
    "quickstart": WorldCase(RECALL, steps=120),
    "clip": WorldCase(RECALL, steps=120),
    "image-simclr": WorldCase(PROBE, steps=150),
    "image-mae": WorldCase(PROBE, steps=1300),
    "text-mlm": WorldCase(pick("masked-prediction", value="loss"), steps=200, more_is_better=False),
    "audio-simclr": WorldCase(PROBE, steps=100),
    "audio-wav2vec2": WorldCase(PROBE, steps=500),
    "video-mae": WorldCase(PROBE, steps=1000),
    "video-simclr": WorldCase(PROBE, steps=400),
    "timeseries-simclr": WorldCase(PROBE, steps=150),
}


def _merged(one: Metrics, other: Metrics) -> Metrics:
    return {subject: one.get(subject, {}) | other.get(subject, {}) for subject in {**one, **other}}


def train(recipe: str, overrides: Sequence[str], run: Path) -> tuple[Lines, float]:
    """The evaluations of one run of the command, and its seconds; a finished run is read again."""
    began = time.perf_counter()
    line = [sys.executable, "-m", "unlabeled", "train", recipe, *overrides, "--run", str(run)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    return [
        json.loads(text) for text in (run / "evaluations.jsonl").read_text().splitlines()
    ], time.perf_counter() - began


def average(found: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over runs, for the subjects that have it in all of them."""
    return {
        subject: {
            name: statistics.mean(metrics[subject][name] for metrics in found)
            for name in found[0][subject]
            if all(name in metrics[subject] for metrics in found)
        }
        for subject in found[0]
    }


def show(metrics: Metrics) -> str:
    """All subjects of one measure in a line."""
    parts = [
        f"{subject} " + ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        for subject, values in metrics.items()
        if values
    ]
    return "; ".join(parts)


def run_case(name: str, case: Case, data: Path, seeds: Sequence[int], runs: Path) -> bool:
    """Train and print one row; whether every seed reached the target."""
    reached = []
    for seed in seeds[: case.seeds]:
        found, seconds = [], []
        for part in case.parts:
            overrides = [*case.overrides(data, part), f"training.seed={seed}"]
            lines, took = train(case.recipe, overrides, runs / f"{name}-{part or 'all'}-{seed}")
            found.append(case.measure(lines))
            seconds.append(took)
            if len(case.parts) > 1:
                print(f"    {part}: {show(found[-1])}", flush=True)
        metrics = average(found)
        reached.append(case.reached(metrics))
        verdict = "reached" if reached[-1] else "MISSED"
        print(
            f"{name} seed {seed}: {show(metrics)}; at most {max(seconds):.0f} s a run: {verdict} ({case.target})",
            flush=True,
        )
    return all(reached)


def run_world(recipe: str, seeds: Sequence[int], runs: Path) -> bool:
    """Train a recipe on the sample world; whether it beats its untrained encoder beyond the spread of the seeds."""
    case = WORLD[recipe]
    trained, untrained, seconds = [], [], []
    for seed in seeds:
        overrides = [f"training.seed={seed}", f"training.steps={case.steps}", *WORLD_SIZE]
        lines, took = train(recipe, overrides, runs / f"world-{recipe}-{seed}")
        metrics = case.measure(lines)
        trained.append(metrics["trained"]["value"])
        untrained.append(metrics["untrained"]["value"])
        seconds.append(took)
    beats = min(trained) > max(untrained) if case.more_is_better else max(trained) < min(untrained)
    values = ", ".join(f"{a:.4f} (untrained {b:.4f})" for a, b in zip(trained, untrained, strict=True))
    verdict = "beats" if beats else "DOES NOT BEAT"
    print(
        f"world {recipe}, {case.steps} steps: {values}; at most {max(seconds):.0f} s a run: {verdict} untrained",
        flush=True,
    )
    return beats


def main() -> None:
    """Run what was asked for; exit code 1 where something was missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the small real data sets")
    parser.add_argument("--world", action="store_true", help="measure on the sample world")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=None, help="keep the runs here; the same command goes on")
    options = parser.parse_args()
    runs = options.runs or Path(tempfile.mkdtemp())
    results = []
    if options.data is not None:
        for name in options.only or CASES:
            results.append(run_case(name, CASES[name], options.data.resolve(), options.seeds, runs))
    if options.world:
        for recipe in options.only or WORLD:
            results.append(run_world(recipe, options.seeds, runs))
    if not results:
        parser.error("give --data FOLDER, --world, or both")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
