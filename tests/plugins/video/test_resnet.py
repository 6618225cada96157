"""ResNet is transformers' own, over stacked frames."""

from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel

from unlabeled import BatchNorm
from unlabeled.testing import check_encoder, check_export
from unlabeled_video.encoders.resnet import ResNet
from unlabeled_video.modality import Video


def build(modality: Video, **options) -> ResNet:
    return ResNet(ResNet.Config(embedding_size=8, hidden_sizes=(8, 12), depths=(1, 1), **options), modality).eval()


def stacked(pixels: torch.Tensor) -> torch.Tensor:
    return ((pixels - 0.5) / 0.5).flatten(1, 2)


@pytest.mark.parametrize("layer_type", ["basic", "bottleneck"])
def test_conformance_and_the_models_own_forward(small, view, layer_type: str) -> None:
    encoder = build(small, layer_type=layer_type)

    def reference(batch) -> torch.Tensor:
        return encoder.model(stacked(batch.inputs["pixel_values"])).last_hidden_state.flatten(2).transpose(1, 2)

    check_encoder(encoder, view, reference)


def test_batch_normalisation_is_cores(small) -> None:
    norms = [module for module in build(small).modules() if "BatchNorm" in type(module).__name__]
    assert norms and all(isinstance(norm, BatchNorm) for norm in norms)


def test_an_untrained_one_sees_motion_and_not_what_stands_still(small, view) -> None:
    still = view.with_inputs(pixel_values=view.inputs["pixel_values"][:, :1].expand(-1, 4, -1, -1, -1))
    seen = build(small, motion=True).embed(still).values
    assert seen.abs().max() < 1e-5
    assert build(small, motion=False).embed(still).values.abs().max() > 0.1


def test_export_loads_in_transformers_with_its_processor(small, view, tmp_path: Path) -> None:
    encoder = build(small)
    for norm in encoder.modules():
        if isinstance(norm, BatchNorm):
            norm.running_mean += 0.1
            norm.running_var *= 1.5
    check_export(encoder, view, tmp_path)
    frames = (view.inputs["pixel_values"] * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).numpy()
    batch = view.with_inputs(**small.collate([{"frames": clip} for clip in frames]))
    encoder.export(tmp_path)
    processor, model = AutoImageProcessor.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path).eval()
    clips = processor([list(clip) for clip in frames], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        features = model(clips.flatten(1, 2)).pooler_output.flatten(1)
        assert torch.allclose(features, encoder.pool(encoder(batch)), atol=1e-6, rtol=0)


def test_it_has_no_tokens_to_drop(small, view) -> None:
    encoder = build(small)
    with pytest.raises(NotImplementedError, match="drop-tokens"):
        encoder.encode(encoder.embed(view), keep=torch.zeros(5, 1, dtype=torch.int64))


def test_stages_need_sizes_and_depths() -> None:
    with pytest.raises(ValueError, match="one number for each stage"):
        ResNet.Config(hidden_sizes=(8, 8), depths=(1,))
