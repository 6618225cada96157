"""The nearest mean of a class."""

import numpy as np

from unlabeled import Evaluation, Evaluator


class Centroid(Evaluator):
    needs_label = True

    def evaluate(self, subjects, data, context):
        fitted, scored = (data.labels(split, context.label) for split in (context.train, context.test))
        evaluations = []
        for encoder in data.encoders:
            metrics = {}
            for subject in subjects:
                train, test = (subject.features(split, encoder) for split in (context.train, context.test))
                means = np.stack([train[fitted == number].mean(axis=0) for number in range(fitted.max() + 1)])
                distances = np.linalg.norm(test[:, None] - means, axis=2)
                metrics[subject.name] = {
                    "accuracy": float((distances.argmin(axis=1) == scored).mean()),
                    "distance": float(distances.min(axis=1).mean()),
                }
            evaluations.append(Evaluation(encoder, metrics, {"classes": len(means)}))
        return evaluations
