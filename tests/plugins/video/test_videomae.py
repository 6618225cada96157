"""VideoMAE is transformers' own, cut in two."""

from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel

from unlabeled import Batch, Draws
from unlabeled.testing import check_encoder, check_export
from unlabeled_video.encoders.videomae import VideoMAE
from unlabeled_video.masking import TubeMasking
from unlabeled_video.modality import Video


def build(modality: Video, **options) -> VideoMAE:
    config = VideoMAE.Config(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, patch_size=4, **options)
    return VideoMAE(config, modality).eval()


def model_inputs(batch: Batch) -> torch.Tensor:
    return (batch.inputs["pixel_values"] - 0.5) / 0.5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_conformance_and_the_models_own_forward(small, view, attention: str) -> None:
    encoder = build(small, attention=attention)
    check_encoder(encoder, view, lambda batch: encoder.model(model_inputs(batch)).last_hidden_state)


def test_kept_tokens_are_the_models_own_forward_of_the_visible(small, view) -> None:
    encoder = build(small)
    mask = TubeMasking(TubeMasking.Config(ratio=0.7))(encoder.layout(view), Draws(0, 0, view.ids))
    keep = (~mask).nonzero()[:, 1].reshape(view.rows, -1)
    own = encoder.encode(encoder.embed(view), keep=keep).values
    assert torch.equal(own, encoder.model(model_inputs(view), bool_masked_pos=mask).last_hidden_state)


def test_layers_are_the_models_hidden_states(small, view) -> None:
    encoder = build(small)
    with torch.no_grad():
        hidden = encoder.encode(encoder.embed(view), layers="hidden").layers
        states = encoder.model(model_inputs(view), output_hidden_states=True).hidden_states
        branches = encoder.encode(encoder.embed(view), layers="branch").layers
    assert all(torch.equal(one, other) for one, other in zip(hidden, states[1:], strict=True))
    layer = encoder.model.encoder.layer[1]
    between = layer.attention(layer.layernorm_before(hidden[0])) + hidden[0]
    assert torch.equal(hidden[1], branches[1] + between)


def test_a_prefix_is_encoded_and_returned_apart(small, view) -> None:
    encoder = build(small)
    tokens = encoder.embed(view).prepend(torch.zeros(view.rows, 2, 24))
    encoded = encoder.encode(tokens, keep=torch.arange(5).expand(view.rows, -1), layers="hidden")
    assert encoded.prefix.shape == (5, 2, 24)
    assert encoded.values.shape == encoded.layers[0].shape == (5, 5, 24)


def test_patches_are_the_pixels_of_each_cube_with_colours_innermost(small, view) -> None:
    encoder = build(small, tubelet_size=2)
    patches = encoder.patches(view)
    clips = view.inputs["pixel_values"]
    assert encoder.layout(view).grid == (2, 4, 4) and patches.shape == (5, 32, 2 * 4 * 4 * 3)
    number = 1 * 16 + 2 * 4 + 3  # second time, third row, fourth column
    cube = clips[0, 2:4, :, 8:12, 12:16].permute(0, 2, 3, 1)
    assert torch.equal(patches[0, number], cube.flatten())
    assert torch.equal(encoder.unpatch(patches, view), clips)


def test_float64(small, view) -> None:
    view = view.with_inputs(pixel_values=view.inputs["pixel_values"].double())
    encoder = build(small).double()
    own = encoder(view).values
    assert own.dtype == torch.float64
    assert torch.equal(own, encoder.model(model_inputs(view)).last_hidden_state)


def test_export_loads_in_transformers_with_its_processor(small, view, tmp_path: Path) -> None:
    encoder = build(small)
    check_export(encoder, view, tmp_path)
    frames = (view.inputs["pixel_values"] * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
    batch = view.with_inputs(**small.collate([{"frames": clip} for clip in frames]))
    encoder.export(tmp_path)
    processor, model = AutoImageProcessor.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path).eval()
    inputs = processor([list(clip) for clip in frames], return_tensors="pt")
    with torch.no_grad():
        features = model(**inputs).last_hidden_state.mean(dim=1)
        assert torch.allclose(features, encoder.pool(encoder(batch)), atol=1e-6, rtol=0)


def test_cubes_must_tile_the_clip(small) -> None:
    with pytest.raises(ValueError, match="do not tile clips of 4 frames of 16 x 16"):
        build(small, tubelet_size=3)
    with pytest.raises(ValueError, match="must divide hidden_size"):
        VideoMAE.Config(hidden_size=10, num_attention_heads=3)
