"""Zero-shot classification: a class is described by another modality, and a sample belongs to the nearest description."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from unlabeled import Config, Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject


class ZeroShotConfig(Config):
    """Options of zero-shot classification."""

    query: str | None = Field(default=None, description="encoder of what is classified; default: the run's first")
    description: str | None = Field(
        default=None, description="encoder of the descriptions; default: the run's first other one"
    )


class ZeroShot(Evaluator):
    """Accuracy of the nearest class in the common space (Radford et al., 2021, section 3.1).

    A class stands at the mean of the embeddings of the train split's descriptions (captions) of that class, as CLIP averages
    several prompts (section 3.1.4). Nothing is fitted to the samples' own modality. Raw features have no common space, so
    their accuracy is that of the most frequent class.
    """

    Config = ZeroShotConfig
    config: ZeroShotConfig
    needs_label = True

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """`accuracy` of the classes of the label column on the test split."""
        if context.label is None:
            raise ValueError("needs labels; name the column as data.label, or as label beside this evaluator's id")
        query, description = self._encoders(data)
        train, test = (data.labels(split, context.label) for split in (context.train, context.test))
        classes = np.unique(train)
        metrics = {}
        for subject in subjects:
            if subject.name == "raw":
                found = np.full(len(test), np.bincount(train).argmax())
            else:
                descriptions = _normalised(subject.features(context.train, description, projected=True))
                samples = subject.features(context.test, query, projected=True)
                if descriptions.shape[1] != samples.shape[1]:
                    raise ValueError(
                        f"{query} and {description} have no common space ({samples.shape[1]} and {descriptions.shape[1]} "
                        "dimensions); train them with an objective that aligns them, such as crossmodal/clip"
                    )
                centres = np.stack([descriptions[train == number].mean(axis=0) for number in classes])
                found = classes[(samples @ _normalised(centres).T).argmax(axis=1)]
            metrics[subject.name] = {"accuracy": float((found == test).mean())}
        protocol = {"classes": len(classes), "descriptions": len(train), "raw": "most frequent class"}
        return [Evaluation(f"{query}->{description}", metrics, protocol)]

    def _encoders(self, data: EvaluationData) -> tuple[str, str]:
        """Names of the encoder of the samples and of that of the descriptions."""
        if len(data.encoders) < 2:
            raise ValueError(f"needs two encoders and the run has one, {data.encoders[0]}; remove it from evaluation")
        for name in (self.config.query, self.config.description):
            if name is not None and name not in data.encoders:
                raise ValueError(f"no encoder {name} in this run; there are: {', '.join(data.encoders)}")
        query = self.config.query or next(name for name in data.encoders if name != self.config.description)
        description = self.config.description or next(name for name in data.encoders if name != query)
        if query == description:
            raise ValueError(f"query and description are both {query}; name two encoders")
        return query, description


def _normalised(vectors: np.ndarray) -> np.ndarray:
    """Rows of (n, D) with length 1; rows of zeros stay zeros."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
