"""What an encoder will be given, before there are data."""

import torch

from unlabeled import Batch, Draws, Modality


def example_batch(modality: Modality) -> Batch:
    """One row of `modality` as evaluation collates it: its blank, or zeros of its input shape where it has none."""
    ids = torch.zeros(1, dtype=torch.int64)
    present = torch.zeros(1, dtype=torch.bool)
    try:
        blank = modality.blank()
    except ValueError:
        return Batch({modality.input_name: torch.zeros(1, *modality.input_shape)}, ids, present)
    inputs = modality.collate([modality.take(blank, Draws(0, 0, ids), "plain")])
    extra = {name: inputs.pop(name) for name in modality.extras if name in inputs}
    return Batch(inputs, ids, present, extra)
