"""Zero-shot classification finds the class whose descriptions are nearest, and says what it lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from unlabeled import EvaluationContext
from unlabeled_crossmodal.zero_shot import ZeroShot, ZeroShotConfig

SIZES = {"train": 90, "test": 40}
CONTEXT = EvaluationContext(seed=0, train="train", test="test", label="kind")
Arrays = Mapping[tuple[str, str], np.ndarray]


@dataclass
class Features:
    """A subject made of arrays, which only has projected features."""

    name: str
    arrays: Arrays

    def features(self, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
        assert projected
        return self.arrays[split, encoder]

    def losses(self, split: str) -> Mapping[str, float]:
        return {}


@dataclass
class Data:
    """Labels made of arrays."""

    kinds: Mapping[str, np.ndarray]
    encoders: Sequence[str] = ("image", "text")

    @property
    def splits(self) -> Mapping[str, int]:
        return SIZES

    def column(self, split: str, name: str) -> Sequence[Any]:
        raise NotImplementedError

    def samples(self, split: str, encoder: str) -> Any:
        raise NotImplementedError

    def labels(self, split: str, name: str) -> np.ndarray:
        return self.kinds[split]


@pytest.fixture
def data() -> Data:
    random = np.random.default_rng(0)
    return Data({split: random.choice(4, size, p=[0.1, 0.2, 0.5, 0.2]) for split, size in SIZES.items()})


def arrays_of(data: Data, seed: int = 1) -> Arrays:
    """Captions and pictures near the direction of their class, of any length; captions of the test split are wrong."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(4, 8))

    def near(kinds: np.ndarray) -> np.ndarray:
        lengths = random.uniform(0.1, 10, (len(kinds), 1))
        return (lengths * (centres[kinds] + 0.2 * random.normal(size=(len(kinds), 8)))).astype(np.float32)

    train, test = data.kinds["train"], data.kinds["test"]
    return {
        ("train", "text"): near(train),
        ("test", "image"): near(test),
        ("train", "image"): near(3 - train),
        ("test", "text"): near(3 - test),
    }


def accuracy(subject: Features, data: Data, **options: str) -> float:
    (evaluation,) = ZeroShot(ZeroShotConfig(**options)).evaluate([subject], data, CONTEXT)
    return evaluation.metrics[subject.name]["accuracy"]


def test_pictures_find_the_class_of_the_captions_like_them(data: Data) -> None:
    arrays = arrays_of(data)
    scrambled = {**arrays, ("train", "text"): arrays["train", "text"][::-1]}
    subjects = [Features("trained", arrays), Features("untrained", scrambled), Features("raw", {})]
    (evaluation,) = ZeroShot(ZeroShotConfig()).evaluate(subjects, data, CONTEXT)
    assert evaluation.on == "image->text"
    assert evaluation.metrics["trained"]["accuracy"] > 0.95
    assert evaluation.metrics["untrained"]["accuracy"] < 0.7
    assert evaluation.metrics["raw"]["accuracy"] == (data.kinds["test"] == 2).mean()
    assert evaluation.protocol["classes"] == 4


def test_equals_the_nearest_mean_of_unit_descriptions(data: Data) -> None:
    random = np.random.default_rng(3)
    arrays = {("train", "text"): random.normal(size=(90, 5)), ("test", "image"): random.normal(size=(40, 5))}
    right = 0
    for sample, kind in zip(arrays["test", "image"], data.kinds["test"], strict=True):
        cosines = []
        for number in range(4):
            captions = arrays["train", "text"][data.kinds["train"] == number]
            mean = np.mean([caption / np.linalg.norm(caption) for caption in captions], axis=0)
            cosines.append(sample @ mean / (np.linalg.norm(sample) * np.linalg.norm(mean)))
        right += int(np.argmax(cosines)) == kind
    assert accuracy(Features("trained", arrays), data) == right / 40


def test_both_encoders_can_be_chosen(data: Data) -> None:
    subject = Features("trained", arrays_of(data))
    assert accuracy(subject, data, query="image", description="text") == accuracy(subject, data)
    assert accuracy(subject, data, description="text") == accuracy(subject, data)
    reverse = accuracy(subject, data, query="text")
    assert reverse == accuracy(subject, data, description="image") > 0.95


def test_what_is_lacking_is_named(data: Data) -> None:
    subject = Features("trained", arrays_of(data))
    evaluator = ZeroShot(ZeroShotConfig())
    with pytest.raises(ValueError, match="name the column as data.label"):
        evaluator.evaluate([subject], data, replace(CONTEXT, label=None))
    with pytest.raises(ValueError, match="needs two encoders and the run has one, image"):
        evaluator.evaluate([subject], Data(data.kinds, ("image",)), CONTEXT)
    with pytest.raises(ValueError, match="no encoder sound in this run; there are: image, text"):
        accuracy(subject, data, query="sound")
    with pytest.raises(ValueError, match="both text"):
        accuracy(subject, data, query="text", description="text")
    subject.arrays = {**subject.arrays, ("test", "image"): np.zeros((40, 3))}
    with pytest.raises(ValueError, match=r"image and text have no common space \(3 and 8 dimensions\)"):
        accuracy(subject, data)
