"""Masked reconstruction keeps an objective's promises and equals a slow masked autoencoder."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from unlabeled import Draws, Facts, View
from unlabeled.testing import check_objective, make_view, take_step
from unlabeled_standard.encoders.patch import Patch
from unlabeled_standard.maskings import RandomMasking, RandomMaskingConfig
from unlabeled_standard.objectives.masked_reconstruction import (
    Decoder,
    MaskedReconstruction,
    MaskedReconstructionConfig,
)
from unlabeled_standard.positions import sincos_positions

Build = Callable[..., Patch]
Values = Callable[..., Tensor]
FACTS = Facts(samples=100, batch_size=6, steps=10, epochs=1.0)


def config(**options: Any) -> MaskedReconstructionConfig:
    return MaskedReconstructionConfig(**{"width": 8, "layers": 2, "heads": 2, **options})


def masked_view(encoder: Patch, values: Tensor, ratio: float = 0.5, present: Tensor | None = None) -> View:
    view = make_view({"values": values}, encoder="array", role="weak", present=present)
    draws = Draws(0, 0, view.ids)
    return replace(view, masks={"mask": RandomMasking(RandomMaskingConfig(ratio=ratio))(encoder.layout(view), draws)})


@pytest.mark.parametrize("shape", [(2, 16), (3, 8, 6), (2, 4, 4, 6)], ids=["series", "image", "video"])
@pytest.mark.parametrize("options", [{}, {"decode_fraction": 0.3}, {"normalise": False}], ids=["mae", "part", "raw"])
def test_conformance(
    shape: tuple[int, ...], options: dict[str, object], build_patch: Build, random_values: Values
) -> None:
    encoder = build_patch(shape)
    present = torch.tensor([True, True, False, True, True, True])
    view = masked_view(encoder, random_values(6, *shape), present=present)
    check_objective(MaskedReconstruction(config(**options), {"array": encoder}, FACTS), [view], {"array": encoder})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("class_token", [True, False])
def test_loss_is_the_masked_autoencoders(
    channels: int, class_token: bool, build_patch: Build, random_values: Values
) -> None:
    """Row by row: all tokens in their places, mask tokens in the gaps, one pass of the decoder, error where masked."""
    encoder = build_patch((3, 6, 8), class_token=class_token).double()
    view = masked_view(encoder, random_values(4, 3, 6, 8).double(), ratio=0.75)
    objective = MaskedReconstruction(config(channels=channels), {"array": encoder}, FACTS).double()
    decoder = objective.decoders["array"]
    assert isinstance(decoder, Decoder)
    positions = sincos_positions((3, 4), 8).double()
    tokens = encoder.embed(view)
    total, count = torch.zeros((), dtype=torch.float64), 0
    for row in range(4):
        mask = view.masks["mask"][row].tolist()
        keep = torch.tensor([[place for place in range(12) if not mask[place]]])
        alone = make_view({"values": view.inputs["values"][row : row + 1]})
        encoded = encoder.encode(encoder.embed(alone), keep=keep)
        sequence = [] if encoded.prefix is None else [decoder.embedding(encoded.prefix[0, 0])]
        seen = iter(encoded.values[0])
        for place in range(12):
            token = decoder.mask_token if mask[place] else decoder.embedding(next(seen))
            sequence.append(token + positions[place])
        drawn = decoder.output(decoder.norm(decoder.blocks(torch.stack(sequence).unsqueeze(0))))[0, -12:]
        for place in range(12):
            if mask[place]:
                patch = encoder.patches(alone)[0, place].reshape(-1, channels)
                for channel in range(channels):
                    part = patch[:, channel]
                    spread = ((part - part.mean()).square().sum() / (len(part) - 1) + 1e-6).sqrt()
                    error = drawn[place].reshape(-1, channels)[:, channel] - (part - part.mean()) / spread
                    total = total + error.square().mean() / channels
                count += 1
    step = take_step(objective, [view], {"array": encoder})
    assert step.counts["reconstruction"] == count == 36
    assert torch.allclose(step.loss, total / count, rtol=1e-12)
    assert tokens.values.shape[1] == 12


def test_predicting_the_mean_costs_one(build_patch: Build, random_values: Values) -> None:
    encoder = build_patch((3, 16, 16), patch=8)
    objective = MaskedReconstruction(config(), {"array": encoder}, FACTS)
    decoder = objective.decoders["array"]
    assert isinstance(decoder, Decoder)
    torch.nn.init.zeros_(decoder.output.weight)
    view = masked_view(encoder, random_values(6, 3, 16, 16))
    assert float(take_step(objective, [view], {"array": encoder}).loss.detach()) == pytest.approx(1.0, abs=0.01)


def test_a_part_is_decoded(build_patch: Build, random_values: Values) -> None:
    encoder = build_patch((3, 8, 8))
    view = masked_view(encoder, random_values(6, 3, 8, 8), ratio=0.75)
    objective = MaskedReconstruction(config(decode_fraction=0.25), {"array": encoder}, FACTS)
    assert take_step(objective, [view], {"array": encoder}).counts["reconstruction"] == 6 * 3


def test_unequal_masks_are_told(build_patch: Build, random_values: Values) -> None:
    encoder = build_patch((3, 4, 4))
    view = masked_view(encoder, random_values(3, 3, 4, 4))
    view.masks["mask"][1] = False
    objective = MaskedReconstruction(config(), {"array": encoder}, FACTS)
    with pytest.raises(ValueError, match="rows have between 2 and 4 unmasked tokens; dropping tokens needs"):
        take_step(objective, [view], {"array": encoder})


def test_width_must_fit_heads(build_patch: Build) -> None:
    with pytest.raises(ValueError, match="width 8 is no multiple of heads 3"):
        MaskedReconstruction(config(heads=3), {"array": build_patch((3, 4, 4))}, FACTS)
