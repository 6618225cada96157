"""How hard `sample:world` is: raw features of each modality against small networks.

`python tests/benchmarks/world.py [seconds per network]` prints one JSON line per measurement: accuracy on 500 test rows of a
logistic regression on raw features of 2,000 train rows and of a small supervised network trained for some seconds of processor
time, and recall@1 among 512 test pairs of image and caption by ridge regression.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

from unlabeled_standard.world import World, WorldConfig

COLUMNS = {
    "image": ("shape", "color", "texture", "background"),
    "text": ("shape", "color", "motion", "background"),
    "audio": ("shape", "color", "motion"),
    "series": ("motion",),
    "video": ("motion", "shape"),
}
CONFIG = WorldConfig()


def pixels(row: dict) -> np.ndarray:
    """The image at half its resolution, (3, 24, 24)."""
    return row["image"].reshape(24, 2, 24, 2, 3).mean((1, 3)).transpose(2, 0, 1) / 255


def whole(row: dict) -> np.ndarray:
    """The image, (3, 48, 48)."""
    return row["image"].transpose(2, 0, 1) / 255


def clip(row: dict) -> np.ndarray:
    """Every other frame at a quarter of its resolution, (24, 12, 12)."""
    frames = row["video"]["frames"][::2].reshape(8, 12, 4, 12, 4, 3).mean((2, 4))
    return frames.transpose(0, 3, 1, 2).reshape(24, 12, 12) / 255


def log_spectrum(row: dict) -> np.ndarray:
    """The logarithm of a spectrogram of 64 bands and 62 frames."""
    sound = row["audio"]["array"]
    frames = np.stack([sound[start : start + 256] for start in range(0, 8000 - 256, 125)]) * np.hanning(256)
    power = np.abs(np.fft.rfft(frames, axis=1)[:, 1:]) ** 2
    return np.log(power.reshape(len(frames), 64, 2).sum(2) + 1e-4).T


def series(row: dict) -> np.ndarray:
    """The trace, (5, 96)."""
    return row["series"].T


VIEWS: dict[str, Callable[[dict], np.ndarray]] = {
    "image": pixels,
    "audio": log_spectrum,
    "series": series,
    "video": clip,
}


def table(modality: str, split: str, rows: int, view: Callable | None = None) -> tuple[list, dict[str, np.ndarray]]:
    """Features (or captions) and labels of the first rows of a split."""
    world = World(CONFIG, split)
    cells = [world.row(index, [modality, *COLUMNS[modality]]) for index in range(rows)]
    view = view or VIEWS.get(modality, lambda row: row["text"][0])
    return [view(cell) for cell in cells], {name: np.array([c[name] for c in cells]) for name in COLUMNS[modality]}


def regress(modality: str) -> None:
    """Logistic regression from raw features to each label."""
    train, train_labels = table(modality, "train", 2000)
    test, test_labels = table(modality, "test", 500)
    if modality == "text":
        words = CountVectorizer()
        x, y = words.fit_transform(train), words.transform(test)
    else:
        scaler = StandardScaler()
        x = scaler.fit_transform(np.stack(train).reshape(2000, -1).astype(np.float32))
        y = scaler.transform(np.stack(test).reshape(500, -1).astype(np.float32))
    strength = 1.0 if modality == "text" else 1e-3
    for name, labels in train_labels.items():
        model = LogisticRegression(C=strength, max_iter=300).fit(x, labels)
        report(modality, name, "logistic regression", float((model.predict(y) == test_labels[name]).mean()))
    if modality in ("audio", "series"):
        for name, labels in train_labels.items():
            pooled = [
                np.concatenate([v.mean(-1), v.std(-1), np.abs(np.diff(v)).mean(-1)], axis=-1)
                for v in map(np.stack, (train, test))
            ]
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(pooled[0], labels)
            report(
                modality,
                name,
                "logistic regression, pooled over time",
                float((model.predict(pooled[1]) == test_labels[name]).mean()),
            )


def network(flat: bool, channels: int, outputs: int) -> nn.Module:
    """Four convolutions, three of them strided, and the maximum over what is left."""
    conv, norm = (nn.Conv1d, nn.BatchNorm1d) if flat else (nn.Conv2d, nn.BatchNorm2d)
    layers: list[nn.Module] = []
    for width, kernel, stride in ((48, 5, 1 if flat else 3), (96, 3, 1), (96, 3, 2), (128, 3, 2)):
        layers += [conv(channels, width, kernel, stride, padding=kernel // 2), norm(width), nn.ReLU()]
        channels = width
    pool = nn.AdaptiveMaxPool1d(1) if flat else nn.AdaptiveMaxPool2d(1)
    return nn.Sequential(*layers, pool, nn.Flatten(), nn.Linear(channels, outputs))


def supervise(modality: str, seconds: float) -> None:
    """A small network for all labels at once, on 5,000 train rows for some seconds of processor time."""
    view = whole if modality == "image" else None
    train, labels = table(modality, "train", 5000, view)
    test, test_labels = table(modality, "test", 500, view)
    x, y = (torch.tensor(np.stack(part), dtype=torch.float32) for part in (train, test))
    mean, scale = x.mean(), x.std()
    x, y = (x - mean) / scale, (y - mean) / scale
    targets = {name: torch.tensor(values) for name, values in labels.items()}
    classes = [int(target.max()) + 1 for target in targets.values()]
    torch.manual_seed(0)
    model = network(modality in ("audio", "series"), x.shape[1], sum(classes))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.05)
    begin, steps, spent = time.process_time(), 0, 0.0
    while spent < 1:
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1, (steps + 1) / 20) * (1 - spent)
        rows = torch.randint(len(x), (128,))
        guesses = model(x[rows]).split(classes, dim=1)
        losses = [F.cross_entropy(guess, target[rows]) for guess, target in zip(guesses, targets.values(), strict=True)]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
        steps, spent = steps + 1, (time.process_time() - begin) / seconds
    with torch.no_grad():
        guesses = model.eval()(y).split(classes, dim=1)
    for name, guess in zip(targets, guesses, strict=True):
        report(
            modality,
            name,
            f"supervised network, {steps} steps",
            float((guess.argmax(1).numpy() == test_labels[name]).mean()),
        )


def retrieve() -> None:
    """Recall@1 among 512 pairs of a ridge regression from pixels to TF-IDF."""
    train, test = World(CONFIG, "train"), World(CONFIG, "test")
    rows = [
        [world.row(index, ["image", "text"]) for index in range(count)] for world, count in ((train, 4000), (test, 512))
    ]
    words = TfidfVectorizer(sublinear_tf=True)
    texts = (
        words.fit_transform([row["text"][0] for row in rows[0]]).toarray(),
        words.transform([row["text"][0] for row in rows[1]]),
    )
    images = [np.stack([pixels(row).ravel() for row in part]) for part in rows]
    guess = Ridge(alpha=1000).fit(images[0], texts[0]).predict(images[1])
    likeness = (guess / np.linalg.norm(guess, axis=1, keepdims=True)) @ texts[1].toarray().T
    report("image", "text", "ridge to TF-IDF, recall@1", float((likeness.argmax(1) == np.arange(512)).mean()))


def report(modality: str, label: str, by: str, value: float) -> None:
    """One line."""
    print(json.dumps({"modality": modality, "label": label, "by": by, "value": round(value, 3)}), flush=True)


if __name__ == "__main__":
    budget = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    torch.set_num_threads(1)
    for kind in COLUMNS:
        regress(kind)
    retrieve()
    for kind in VIEWS:
        supervise(kind, budget)
