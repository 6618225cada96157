"""What the run's own objectives say of data they were not trained on."""

from collections.abc import Sequence

from unlabeled import Evaluation, EvaluationContext, EvaluationData, Evaluator, Subject


class ObjectiveLoss(Evaluator):
    """Every loss term and monitor over the test split, by fixed draws; raw features have none."""

    def evaluate(
        self, subjects: Sequence[Subject], data: EvaluationData, context: EvaluationContext
    ) -> Sequence[Evaluation]:
        """One Evaluation for all encoders together, named `first+second`."""
        losses = {subject.name: dict(subject.losses(context.test)) for subject in subjects}
        metrics = {name: values for name, values in losses.items() if values}
        return [Evaluation("+".join(data.encoders), metrics, {"samples": data.splits[context.test]})]
