"""vision/vit with `pool: pooler` is transformers' ViTModel with its pooler."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel

from unlabeled import Batch
from unlabeled.testing import check_encoder, check_export
from unlabeled_vision.encoders.vit import ViT, ViTEncoderConfig
from unlabeled_vision.modality import Image


def build(image: Image, pool: str = "pooler") -> ViT:
    options = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "pool": pool}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ViT(ViTEncoderConfig(**options), image).eval()


@pytest.fixture
def vit(image: Image) -> ViT:
    return build(image)


@pytest.fixture
def batch() -> Batch:
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Batch({"pixel_values": pixels}, torch.arange(4), torch.ones(4, dtype=torch.bool))


def test_features_are_the_poolers_output(vit: ViT, batch: Batch) -> None:
    model = vit.transformers_model()
    check_encoder(vit, batch, lambda batch: model(vit.normalize(batch.inputs["pixel_values"])).last_hidden_state)
    with torch.no_grad():
        expected = model(vit.normalize(batch.inputs["pixel_values"])).pooler_output
        assert torch.equal(vit.pool(vit(batch)), expected)


def test_other_pools_have_no_model_that_gives_them(image: Image) -> None:
    assert build(image, "mean").transformers_model() is None
    assert build(image, "class").transformers_model() is None


def test_export_loads_with_its_pooler(vit: ViT, batch: Batch, tmp_path: Path, photo: np.ndarray) -> None:
    check_export(vit, batch, tmp_path)
    model = AutoModel.from_pretrained(tmp_path).eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    inputs = vit.image.collate([vit.image.decode(photo)])
    with torch.no_grad():
        given = model(**processor(photo, return_tensors="pt")).pooler_output
        features = vit.pool(vit(Batch(inputs, torch.arange(1), torch.ones(1, dtype=torch.bool))))
    torch.testing.assert_close(given, features, rtol=0, atol=1e-6)
