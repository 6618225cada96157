"""The adapter equals ResNetModel, ignores padding in its mean, and its export needs nothing of unlabeled."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from transformers import AutoFeatureExtractor, AutoModel

from unlabeled import Batch, BatchNorm, Modality, View
from unlabeled.testing import check_encoder, check_export
from unlabeled_audio.encoders.spectrogram_resnet import SpectrogramResNet, SpectrogramResNetConfig
from unlabeled_audio.spectrogram import Spectrogram

Cells = list[dict[str, object]]
Maker = Callable[[Modality, Sequence[object], str], View]


@pytest.fixture
def encoder(spectrogram: Spectrogram) -> SpectrogramResNet:
    """A small network with statistics as if it had been trained."""
    torch.manual_seed(0)
    config = SpectrogramResNetConfig(embedding_size=6, hidden_sizes=[6, 10], depths=[1, 2])
    network = SpectrogramResNet(config, spectrogram).eval()
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return network


def reference(encoder: SpectrogramResNet) -> Callable[[Batch], Tensor]:
    def forward(batch: Batch) -> Tensor:
        pixels = batch.inputs["pixel_values"].to(memory_format=torch.channels_last)
        output: Tensor = encoder.model(pixels).last_hidden_state
        return output.permute(0, 2, 3, 1).flatten(2)

    return forward


def test_equals_the_model(encoder: SpectrogramResNet, images: View) -> None:
    check_encoder(encoder, images, reference(encoder))
    assert encoder(images).values.shape == (4, 8, encoder.width)
    assert encoder.width == 3 * 10


def test_every_normalisation_is_shared(encoder: SpectrogramResNet) -> None:
    assert not [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len([module for module in encoder.modules() if isinstance(module, BatchNorm)]) == 8


def test_the_mean_is_over_real_places_alone(encoder: SpectrogramResNet, images: View) -> None:
    encoded = encoder(images)
    assert encoded.padding is not None
    assert encoded.padding.sum(dim=1).tolist() == [6, 4, 2, 8]  # of 48, 29, 10 and 58 frames, 8 to a place
    pooled = encoder.pool(encoded)
    for row, length in enumerate(encoded.padding.sum(dim=1).tolist()):
        assert torch.allclose(pooled[row], encoded.values[row, :length].mean(dim=0), atol=1e-6)


def test_works_in_float64_and_trains(encoder: SpectrogramResNet, images: View) -> None:
    wide = encoder.double().train()
    view = images.with_inputs(pixel_values=images.inputs["pixel_values"].double())
    wide.pool(wide(view)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in wide.parameters())


def test_export_loads_without_unlabeled(
    encoder: SpectrogramResNet, spectrogram: Spectrogram, cells: Cells, view_of: Maker, tmp_path: Path
) -> None:
    view = view_of(spectrogram, cells[:3], "plain")
    check_export(encoder, view, tmp_path)
    model, loading = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    sounds = [np.asarray(cell["array"]) for cell in cells[:3]]
    inputs = extractor(sounds, sampling_rate=8000, return_tensors="pt")["input_values"]
    with torch.no_grad():
        values = model.eval()(inputs.unsqueeze(1)).last_hidden_state.permute(0, 2, 3, 1).flatten(2)
        assert torch.allclose(values, encoder(view).values, atol=1e-6)


def test_wrong_uses(encoder: SpectrogramResNet, images: View) -> None:
    with pytest.raises(ValueError, match="neither drops tokens nor returns layers"):
        encoder.encode(encoder.embed(images), layers="hidden")
    with pytest.raises(ValidationError, match="of one length"):
        SpectrogramResNetConfig(hidden_sizes=[4, 4], depths=[1])
