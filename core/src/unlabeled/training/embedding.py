"""Pooled features of whole samples: what evaluation, exports and surveys look at."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unlabeled.data.loader import collate
from unlabeled.data.reader import Example, Reader
from unlabeled.interfaces.batch import Batch
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.modality import Modality
from unlabeled.training.learner import Learner

_BATCH = 128


def plain_batch(modality: Modality, name: str, examples: Sequence[Example]) -> Batch:
    """Examples of one encoder as evaluation sees them: whole samples, no augmentation."""
    ids = torch.tensor([example.id for example in examples], dtype=torch.int64)
    samples = [
        modality.take(example.samples[name], Draws(0, 0, ids[row : row + 1], name), "plain")
        for row, example in enumerate(examples)
    ]
    return collate(modality, samples, ids, torch.tensor([example.present[name] for example in examples]))


def embed_batch(learner: Learner, name: str, batch: Batch) -> Tensor:
    """(B, D) pooled features of a plain batch by the encoder that would leave, in evaluation mode."""
    encoder = leaving_encoders(learner)[name].eval()
    parameter = next(encoder.parameters())
    batch = batch.to(parameter.device)
    wide = {key: value.to(parameter.dtype) for key, value in batch.inputs.items() if value.is_floating_point()}
    with torch.no_grad():
        return encoder.pool(encoder(batch.with_inputs(**wide)))


def leaving_encoders(learner: Learner) -> dict[str, Any]:
    """The encoders that leave: what the objectives name instead of the trained ones (a teacher)."""
    leaving: dict[str, Any] = dict(learner.encoders.items())
    for name, objective in learner.named():
        leaving.update(objective.exports(learner.encoders_of(name)))
    return leaving


def survey_features(learner: Learner, reader: Reader) -> Mapping[str, Tensor]:
    """Encoder -> (samples, D) pooled features of every row of a split, in order; zeros where a row cannot be decoded."""
    parameter = next(learner.parameters())
    features = {
        name: torch.zeros(
            len(reader), learner.encoder(name).pooled_width, dtype=parameter.dtype, device=parameter.device
        )
        for name in reader.modalities
    }
    found_rows = reader.examples(range(len(reader)))
    for start in range(0, len(reader), _BATCH):
        chunk = range(start, min(start + _BATCH, len(reader)))
        rows = {row: found for row, found in zip(chunk, found_rows, strict=False) if isinstance(found, Example)}
        if rows:
            for name, modality in reader.modalities.items():
                batch = plain_batch(modality, name, list(rows.values()))
                features[name][list(rows)] = embed_batch(learner, name, batch)
    return features
