"""Adapters equal transformers' own models, and their exports need nothing of unlabeled."""

import itertools
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from transformers import AutoImageProcessor, AutoModel

from unlabeled import Batch, BatchNorm, Encoder, gather_tokens
from unlabeled.testing import check_encoder, check_export
from unlabeled_vision.encoders.convnext import ConvNext, ConvNextEncoderConfig
from unlabeled_vision.encoders.positions import sine_cosine
from unlabeled_vision.encoders.resnet import ResNet, ResNetEncoderConfig
from unlabeled_vision.encoders.vit import ViT, ViTEncoderConfig
from unlabeled_vision.modality import Image, ImageConfig

SMALL_VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3}
SMALL_RESNET = {"embedding_size": 8, "hidden_sizes": (8, 16), "depths": (1, 2)}


def batch_of(size: int = 16, rows: int = 4, dtype: torch.dtype = torch.float32) -> Batch:
    pixels = torch.rand(rows, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return Batch({"pixel_values": pixels}, torch.arange(rows), torch.ones(rows, dtype=torch.bool))


def lively(build: type[Encoder], config: BaseModel, size: int) -> Encoder:
    """An encoder with statistics and tokens that are not 0 and 1, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build(config, Image(ImageConfig(size=size)))
    generator = torch.Generator().manual_seed(1)
    for module in encoder.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "token" in name or name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
    return encoder.eval()


def vit(size: int = 16, **options: object) -> ViT:
    encoder = lively(ViT, ViTEncoderConfig(**{**SMALL_VIT, **options}), size)
    assert isinstance(encoder, ViT)
    return encoder


def resnet(size: int = 32, **options: object) -> ResNet:
    encoder = lively(ResNet, ResNetEncoderConfig(**{**SMALL_RESNET, **options}), size)
    assert isinstance(encoder, ResNet)
    return encoder


def convnext(size: int = 32) -> ConvNext:
    encoder = lively(ConvNext, ConvNextEncoderConfig(hidden_sizes=(8, 16), depths=(1, 2)), size)
    assert isinstance(encoder, ConvNext)
    return encoder


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [{}, {"positions": "learned", "pool": "class", "attention": "eager"}, {"pool": "pooler"}, {"pool": "quadrants"}],
)
def test_vit_is_transformers_own(options: dict[str, str], dtype: torch.dtype) -> None:
    encoder = vit(**options).to(dtype)

    def reference(batch: Batch) -> Tensor:
        return encoder.model(encoder.normalize(batch.inputs["pixel_values"])).last_hidden_state

    check_encoder(encoder, batch_of(dtype=dtype), reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"layer_type": "bottleneck", "downsample_in_first_stage": True}])
def test_resnet_is_transformers_own(options: dict[str, object], dtype: torch.dtype) -> None:
    encoder = resnet(**options).to(dtype)

    def reference(batch: Batch) -> Tensor:
        return (
            encoder.model(encoder.normalize(batch.inputs["pixel_values"])).last_hidden_state.flatten(2).transpose(1, 2)
        )

    check_encoder(encoder, batch_of(32, dtype=dtype), reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_convnext_is_transformers_own(dtype: torch.dtype) -> None:
    encoder, batch = convnext().to(dtype), batch_of(32, dtype=dtype)

    def reference(batch: Batch) -> Tensor:
        return (
            encoder.model(encoder.normalize(batch.inputs["pixel_values"])).last_hidden_state.flatten(2).transpose(1, 2)
        )

    check_encoder(encoder, batch, reference)
    with torch.no_grad():
        pooled = encoder.model(encoder.normalize(batch.inputs["pixel_values"])).pooler_output
        assert torch.allclose(encoder.pool(encoder(batch)), pooled, atol=1e-6)


def test_vit_pools_quadrants_side_by_side() -> None:
    encoder, batch = vit(pool="quadrants"), batch_of()
    with torch.no_grad():
        encoded = encoder(batch)
        pooled = encoder.pool(encoded).unflatten(1, (encoder.width, 2, 2))
        side = math.isqrt(encoded.values.shape[1])
        for down, across in itertools.product((0, 1), (0, 1)):
            places = [
                row * side + column
                for row, column in itertools.product(range(side), range(side))
                if (row >= side // 2, column >= side // 2) == (bool(down), bool(across))
            ]
            expected = encoded.values[:, places].mean(dim=1)
            assert torch.allclose(pooled[:, :, down, across], expected, atol=1e-6)
        dropped = encoder.encode(encoder.embed(batch), keep=torch.arange(4).expand(batch.rows, -1))
        with pytest.raises(ValueError, match="pool: quadrants needs every patch of a picture; choose another pool"):
            encoder.pool(dropped)


def test_vit_pools_by_its_own_pooler_where_asked() -> None:
    encoder, batch = vit(pool="pooler"), batch_of()
    with torch.no_grad():
        expected = encoder.model(encoder.normalize(batch.inputs["pixel_values"])).pooler_output
        assert torch.equal(encoder.pool(encoder(batch)), expected)
    assert encoder.transformers_model() is encoder.model
    assert vit().transformers_model() is None


@pytest.mark.parametrize("size", [8, 20, 32])
def test_vit_interpolates_positions_as_transformers_does(size: int) -> None:
    encoder, batch = vit(), batch_of(size)
    with torch.no_grad():
        encoded = encoder(batch)
        pixels = encoder.normalize(batch.inputs["pixel_values"])
        expected = encoder.model(pixels, interpolate_pos_encoding=True).last_hidden_state
    assert encoded.prefix is not None
    assert torch.equal(torch.cat([encoded.prefix, encoded.values], dim=1), expected)
    assert encoder.layout(batch).grid == (size // 4, size // 4)


def test_vit_with_tokens_dropped_is_the_model_on_the_kept_ones() -> None:
    encoder, batch = vit(), batch_of()
    keep = torch.tensor([[0, 3, 5], [1, 2, 15], [7, 8, 9], [15, 0, 4]])
    with torch.no_grad():
        encoded = encoder.encode(encoder.embed(batch), keep=keep)
        hidden = encoder.model.embeddings(encoder.normalize(batch.inputs["pixel_values"]))
        hidden = torch.cat([hidden[:, :1], gather_tokens(hidden[:, 1:], keep)], dim=1)
        for layer in encoder.model.layers:
            hidden = layer(hidden, None)
        hidden = encoder.model.layernorm(hidden)
    assert encoded.prefix is not None
    assert torch.equal(torch.cat([encoded.prefix, encoded.values], dim=1), hidden)


def test_vit_with_tokens_replaced_is_the_model_on_masked_patches() -> None:
    encoder, batch = vit(), batch_of()
    mask = torch.rand(4, 16, generator=torch.Generator().manual_seed(2)) < 0.5
    with torch.no_grad():
        encoded = encoder.encode(encoder.replace(encoder.embed(batch), mask))
        pixels = encoder.normalize(batch.inputs["pixel_values"])
        expected = encoder.model(pixels, bool_masked_pos=mask).last_hidden_state
    assert torch.equal(encoded.values, expected[:, 1:])


def test_vit_layers_are_the_models_hidden_states() -> None:
    encoder, batch = vit(), batch_of()
    with torch.no_grad():
        tokens = encoder.embed(batch)
        hidden = encoder.encode(tokens, layers="hidden").layers
        branch = encoder.encode(tokens, layers="branch").layers
        pixels = encoder.normalize(batch.inputs["pixel_values"])
        expected = encoder.model(pixels, output_hidden_states=True).hidden_states
        layer = encoder.model.layers[1]
        between = expected[1] + layer.attention(layer.layernorm_before(expected[1]))[0]
    assert len(hidden) == len(branch) == 2
    assert torch.equal(hidden[0], expected[1][:, 1:])
    assert torch.allclose(hidden[1], (between[:, 1:] + branch[1]), atol=1e-6)


def test_vit_patches_are_cut_from_the_picture() -> None:
    encoder, batch = vit(), batch_of()
    patches = encoder.patches(batch)
    pixels = batch.inputs["pixel_values"]
    for number in (0, 1, 4, 15):
        top, left = 4 * (number // 4), 4 * (number % 4)
        cell = pixels[:, :, top : top + 4, left : left + 4]
        assert torch.equal(patches[:, number], cell.permute(0, 2, 3, 1).flatten(1))
    assert torch.equal(encoder.unpatch(patches, batch), pixels)


def test_vit_weights_start_as_wide_as_xavier_has_them() -> None:
    encoder = vit()
    weights = [
        encoder.model.layers[0].mlp.fc1.weight,
        encoder.model.embeddings.patch_embeddings.projection.weight.flatten(1),
    ]
    for weight in weights:
        bound = (6 / (weight.shape[0] + weight.shape[1])) ** 0.5
        assert 0.95 * bound < float(weight.detach().abs().max()) <= bound


def test_fixed_positions_are_sines_and_cosines_and_stay() -> None:
    encoder = vit()
    assert not encoder.model.embeddings.position_embeddings.requires_grad
    table = sine_cosine((2, 3), 8, prefix=1)
    assert table.shape == (1, 7, 8)
    assert not table[0, 0].any()
    for number in range(6):
        row, column = divmod(number, 3)
        expected = [f(place * rate) for place in (column, row) for f in (np.sin, np.cos) for rate in (1.0, 0.01)]
        assert np.allclose(table[0, 1 + number], expected, atol=1e-6)


@pytest.mark.parametrize("build", [vit, resnet], ids=["vit", "resnet"])
def test_exports_load_in_plain_transformers(build, tmp_path: Path, photo: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    encoder = build()
    encoder.export(tmp_path)
    options = {"add_pooling_layer": False} if build is vit else {}
    model = AutoModel.from_pretrained(tmp_path, **options).eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    image = encoder.modality
    with torch.no_grad():
        given = model(**processor(photo, return_tensors="pt")).last_hidden_state
        given = given[:, 1:].mean(dim=1) if build is vit else given.mean(dim=(2, 3))
        inputs = image.collate([image.decode(photo)])
        features = encoder.pool(encoder(Batch(inputs, torch.arange(1), torch.ones(1, dtype=torch.bool))))
    assert torch.allclose(given, features, atol=1e-6)
    names = {name for name, _ in model.named_parameters()}
    assert {type(module) for module in model.modules()}.isdisjoint({BatchNorm})
    assert names == {name for name, _ in encoder.model.named_parameters()} - {"embeddings.mask_token"}


@pytest.mark.parametrize("build", [vit, partial(vit, pool="pooler"), resnet, convnext])
def test_restore_is_the_inverse_of_export(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    check_export(build(), batch_of(build().image.config.size), tmp_path)


def test_resnet_has_cores_batch_normalisation_under_transformers_names() -> None:
    encoder = resnet()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    assert sum(isinstance(module, BatchNorm) for module in encoder.modules()) == 1 + 2 * 3 + 1
    assert "model.embedder.embedder.normalization.running_mean" in encoder.state_dict()


def test_resnet_takes_pictures_of_any_size() -> None:
    encoder = resnet()
    with torch.no_grad():
        assert encoder.pool(encoder(batch_of(48))).shape == (4, 16)


@pytest.mark.parametrize("build", [resnet, convnext])
def test_what_merges_tokens_says_what_it_cannot_do(build) -> None:  # type: ignore[no-untyped-def]
    encoder = build()
    tokens = encoder.embed(batch_of(32))
    with pytest.raises(NotImplementedError, match="drop-tokens"):
        encoder.encode(tokens, keep=torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(NotImplementedError, match="layers"):
        encoder.encode(tokens, layers="hidden")


def test_impossible_configurations_are_named() -> None:
    with pytest.raises(ValueError, match="patch_size 5 does not divide the picture's size 16"):
        vit(patch_size=5)
    with pytest.raises(ValueError, match="hidden_size 25 must be a multiple of num_attention_heads"):
        vit(hidden_size=25)
    with pytest.raises(ValueError, match="hidden_size 6 must be a multiple of 4"):
        vit(hidden_size=6)
    with pytest.raises(ValueError, match="as many of one as of the other"):
        resnet(depths=(1,))
    with pytest.raises(
        ValueError, match="pictures of 8 pixels are too small for patch_size 4 and 3 stages, which need 16"
    ):
        lively(ConvNext, ConvNextEncoderConfig(hidden_sizes=(8, 8, 8), depths=(1, 1, 1)), 8)
    with pytest.raises(ValueError, match="does not divide a picture of 10 x 10 pixels"):
        vit()(batch_of(10))
