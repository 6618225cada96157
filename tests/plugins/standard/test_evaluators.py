"""Evaluators measure what they say, for every subject alike, and choose nothing on the test split."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from unlabeled import EvaluationContext, Evaluator
from unlabeled_standard.evaluators.knn import KNN, KNNConfig
from unlabeled_standard.evaluators.linear_probe import LinearProbe, LinearProbeConfig
from unlabeled_standard.evaluators.objective_loss import ObjectiveLoss
from unlabeled_standard.evaluators.rankme import RankMe, RankMeConfig, rankme
from unlabeled_standard.evaluators.retrieval import Retrieval, RetrievalConfig, ranks_of_names
from unlabeled_standard.evaluators.svm_probe import SVMProbe, SVMProbeConfig

SIZES = {"train": 120, "test": 60}
CONTEXT = EvaluationContext(seed=0, train="train", test="test", label="kind")


@dataclass
class Features:
    """A subject made of arrays."""

    name: str
    arrays: Mapping[tuple[str, str], np.ndarray]
    terms: Mapping[str, float] = field(default_factory=dict)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def features(self, split: str, encoder: str, *, projected: bool = False) -> np.ndarray:
        self.asked.append((split, encoder, projected))
        return self.arrays[split, encoder]

    def losses(self, split: str) -> Mapping[str, float]:
        return self.terms


@dataclass
class Data:
    """Labels made of arrays."""

    kinds: Mapping[str, np.ndarray]
    encoders: Sequence[str] = ("image",)
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def splits(self) -> Mapping[str, int]:
        return SIZES

    def column(self, split: str, name: str) -> Sequence[Any]:
        return self.columns[name]

    def samples(self, split: str, encoder: str) -> Any:
        raise NotImplementedError

    def labels(self, split: str, name: str) -> np.ndarray:
        return self.kinds[split]


def labelled(noise: float, classes: int = 3, width: int = 8, seed: int = 0) -> tuple[Features, Data]:
    """Features that point to their class, with noise."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, width))
    kinds = {split: random.integers(0, classes, size) for split, size in SIZES.items()}
    arrays = {
        (split, "image"): (centres[kinds[split]] + noise * random.normal(size=(size, width))).astype(np.float32)
        for split, size in SIZES.items()
    }
    return Features("trained", arrays), Data(kinds)


PROBES = [LinearProbe(LinearProbeConfig()), SVMProbe(SVMProbeConfig()), KNN(KNNConfig())]


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "svm", "knn"])
def test_probes_tell_good_features_from_noise(probe: Evaluator) -> None:
    clear, data = labelled(0.3)
    noise = Features("untrained", labelled(0.3, seed=1)[0].arrays)
    [evaluation] = probe.evaluate([clear, noise], data, CONTEXT)
    assert evaluation.on == "image"
    assert evaluation.metrics["trained"]["accuracy"] > 0.9
    assert evaluation.metrics["untrained"]["accuracy"] < 0.6
    assert evaluation.protocol["train_samples"] == 120
    assert [evaluation] == probe.evaluate([clear, noise], data, CONTEXT)


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "svm", "knn"])
def test_the_test_split_chooses_nothing(probe: Evaluator) -> None:
    subject, data = labelled(1.0)
    shuffled = Data({**data.kinds, "test": np.roll(data.kinds["test"], 1)})
    [first], [second] = (probe.evaluate([subject], each, CONTEXT) for each in (data, shuffled))
    assert first.protocol == second.protocol
    assert first.metrics != second.metrics


@pytest.mark.parametrize("probe", PROBES, ids=["linear", "svm", "knn"])
def test_probes_tell_what_is_missing(probe: Evaluator) -> None:
    subject, data = labelled(0.3)
    with pytest.raises(ValueError, match="needs labels; name the column as data.label"):
        probe.evaluate([subject], data, EvaluationContext(0, "train", "test", None))
    with pytest.raises(ValueError, match="column kind has a single class in split train"):
        probe.evaluate(
            [subject], Data({split: np.zeros(size, dtype=np.int64) for split, size in SIZES.items()}), CONTEXT
        )
    subject.arrays["test", "image"][0, 0] = np.nan
    with pytest.raises(ValueError, match="trained features of image on split test are not finite"):
        probe.evaluate([subject], data, CONTEXT)


def test_linear_probe_does_not_care_for_scale() -> None:
    subject, data = labelled(0.8)
    scales = np.float32(10.0) ** np.arange(-4, 4, dtype=np.float32)
    scaled = Features("trained", {key: values * scales + 5 for key, values in subject.arrays.items()})
    probe = LinearProbe(LinearProbeConfig(iterations=1000))
    accuracies = [probe.evaluate([each], data, CONTEXT)[0].metrics["trained"]["accuracy"] for each in (subject, scaled)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.05)


def test_linear_probe_works_with_a_class_of_one() -> None:
    subject, data = labelled(0.3)
    data.kinds["train"][:] = np.minimum(data.kinds["train"], 1)
    data.kinds["train"][0] = 2
    assert LinearProbe(LinearProbeConfig()).evaluate([subject], data, CONTEXT)


def test_svm_has_no_penalty_where_classes_are_small() -> None:
    subject, data = labelled(0.3)
    data.kinds["train"][data.kinds["train"] == 2] = 0
    data.kinds["train"][:3] = 2
    [evaluation] = SVMProbe(SVMProbeConfig()).evaluate([subject], data, CONTEXT)
    assert evaluation.protocol["chosen"] == {"trained": {"strength": "no penalty"}}


def test_knn_is_the_weighted_vote() -> None:
    subject, data = labelled(2.0)
    train, test = (subject.arrays[split, "image"].astype(np.float64) for split in ("train", "test"))
    correct = 0
    for row, features in enumerate(test):
        cosines = [float(features @ other / np.linalg.norm(features) / np.linalg.norm(other)) for other in train]
        nearest = sorted(range(len(train)), key=lambda i: -cosines[i])[:5]
        votes = [0.0, 0.0, 0.0]
        for i in nearest:
            votes[data.kinds["train"][i]] += math.exp(cosines[i] / 0.07)
        correct += int(np.argmax(votes) == data.kinds["test"][row])
    [evaluation] = KNN(KNNConfig(neighbours=5)).evaluate([subject], data, CONTEXT)
    assert evaluation.metrics["trained"]["accuracy"] == pytest.approx(correct / len(test))


def test_knn_works_with_fewer_samples_than_neighbours() -> None:
    subject, data = labelled(0.3)
    assert KNN(KNNConfig(neighbours=1000)).evaluate([subject], data, CONTEXT)


def pairs(noise: float, seed: int = 0) -> dict[tuple[str, str], np.ndarray]:
    """Images, and texts that are a rotation of them, with noise."""
    random = np.random.default_rng(seed)
    rotation = np.linalg.qr(random.normal(size=(6, 6)))[0]
    arrays = {}
    for split, size in SIZES.items():
        images = random.normal(size=(size, 6))
        arrays[split, "image"] = images.astype(np.float32)
        arrays[split, "text"] = (images @ rotation + noise * random.normal(size=(size, 6))).astype(np.float32)
    return arrays


def test_retrieval_goes_both_ways_and_fits_ridge_for_raw_features() -> None:
    arrays = pairs(0.01)
    aligned = {key: arrays[key[0], "image"] for key in arrays}
    subjects = [Features("trained", aligned), Features("untrained", arrays), Features("raw", arrays)]
    evaluations = Retrieval(RetrievalConfig()).evaluate(subjects, Data({}, ("image", "text")), CONTEXT)
    assert [each.on for each in evaluations] == ["image->text", "text->image"]
    for each in evaluations:
        assert each.metrics["trained"] == {"recall@1": 1.0, "recall@5": 1.0, "recall@10": 1.0, "median_rank": 1.0}
        assert each.metrics["untrained"]["recall@1"] < 0.3
        assert each.metrics["raw"]["recall@1"] > 0.9
        assert each.protocol == {"queries": 60, "candidates": 60}
    assert subjects[0].asked[0] == ("test", "image", True)


def test_retrieval_by_name_counts_names() -> None:
    similarity = np.array([[0.9, 0.1, 0.8], [0.7, 0.2, 0.6], [0.1, 0.3, 0.2]])
    assert ranks_of_names(similarity, np.arange(3)).tolist() == [1, 3, 2]
    # Samples 0 and 2 have one name: a name is as similar as the nearer of its two.
    assert ranks_of_names(similarity, np.array([0, 1, 0])).tolist() == [1, 2, 2]
    arrays = pairs(0.01)
    names = [str(row % 20) for row in range(60)]
    data = Data({}, ("image", "text"), {"name": names})
    config = RetrievalConfig(name="name")
    evaluation = Retrieval(config).evaluate([Features("trained", arrays)], data, CONTEXT)[0]
    assert evaluation.protocol == {"queries": 60, "candidates": 20}


def test_equal_similarities_count_against_the_query() -> None:
    assert ranks_of_names(np.zeros((4, 4)), np.arange(4)).tolist() == [4, 4, 4, 4]


def test_retrieval_tells_what_is_missing() -> None:
    with pytest.raises(ValueError, match="needs two encoders and the run has one, image"):
        Retrieval(RetrievalConfig()).evaluate([], Data({}), CONTEXT)
    arrays = {**pairs(0.1), ("test", "text"): np.ones((60, 7), dtype=np.float32)}
    with pytest.raises(ValueError, match="image and text have no common space"):
        Retrieval(RetrievalConfig()).evaluate([Features("trained", arrays)], Data({}, ("image", "text")), CONTEXT)


@pytest.mark.parametrize("shape", [(200, 10), (10, 200)])
def test_rankme_is_equation_1(shape: tuple[int, int]) -> None:
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(features.double())
    shares = values / values.sum() + 1e-7
    assert rankme(features.numpy()) == pytest.approx(float(torch.exp(-(shares * shares.log()).sum())), rel=1e-4)


def test_rankme_sees_collapse() -> None:
    random = np.random.default_rng(0)
    full = random.normal(size=(60, 8)).astype(np.float32)
    flat = np.outer(random.normal(size=60), random.normal(size=8)).astype(np.float32)
    subjects = [Features("trained", {("test", "image"): full}), Features("untrained", {("test", "image"): flat})]
    [evaluation] = RankMe(RankMeConfig()).evaluate(subjects, Data({}), CONTEXT)
    assert evaluation.metrics["trained"]["rankme"] > 7
    assert evaluation.metrics["untrained"]["rankme"] == pytest.approx(1.0, abs=0.01)
    assert rankme(np.zeros((5, 3), dtype=np.float32)) == 0.0


def test_objective_loss_hands_on_the_losses() -> None:
    subjects = [Features("trained", {}, {"simclr/contrast": 0.5}), Features("raw", {})]
    [evaluation] = ObjectiveLoss(ObjectiveLoss.Config()).evaluate(subjects, Data({}, ("image", "text")), CONTEXT)
    assert evaluation.on == "image+text"
    assert evaluation.metrics == {"trained": {"simclr/contrast": 0.5}}
