"""Zero-shot classification: a class is described in words, and a sample belongs to the nearest description."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject


class ZeroShotConfig(Config):
    """Options of zero-shot classification."""

    query: str | None = Field(default=None, description="encoder of what is classified; default: the run's first")
    description: str | None = Field(default=None, description="encoder of the descriptions; default: the run's second")


class ZeroShot(Evaluator):
    """Accuracy of the nearest class in the common space (Radford et al., 2021, section 3.1).

    A class stands at the normalised mean of the embeddings of the train split's descriptions (captions) of that class, as
    CLIP averages the embeddings of several prompts. No feature of a classified sample's own modality is fitted. The raw
    baseline has no common space, so it is the share of the most frequent class.
    """

    Config = ZeroShotConfig
    config: ZeroShotConfig

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`accuracy` of the classes of the label column on the test split."""
        if context.label is None:
            raise ValueError("needs a label column; name it with data.label")
        if len(data.encoders) < 2:
            raise ValueError(f"needs two encoders and the run has one, {data.encoders[0]}; remove it from evaluation")
        query = self.config.query or data.encoders[0]
        description = self.config.description or data.encoders[1]
        for name in (query, description):
            if name not in data.encoders:
                raise ValueError(f"no encoder {name} in this run; there are: {', '.join(data.encoders)}")
        train, test = (data.labels(split, context.label) for split in (context.train, context.test))
        metrics = {}
        for subject in subjects:
            if subject.name == "raw":
                metrics["raw"] = {"accuracy": float((test == np.bincount(train).argmax()).mean())}
                continue
            captions = subject.features(context.train, description, projected=True)
            samples = subject.features(context.test, query, projected=True)
            centres = np.stack([_normalised(captions[train == label].mean(axis=0)) for label in np.unique(train)])
            found = np.unique(train)[(samples @ centres.T).argmax(axis=1)]
            metrics[subject.name] = {"accuracy": float((found == test).mean())}
        protocol = {"classes": len(np.unique(train)), "raw": "most frequent class"}
        return [Evaluation(f"{query}->{description}", metrics, protocol)]


def _normalised(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))
