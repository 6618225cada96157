"""The recipes resolve, and what they name works together."""

import pytest
import torch

from unlabeled import Facts, View
from unlabeled.recipes.load import load_recipe
from unlabeled.recipes.resolve import resolve
from unlabeled.testing import make_draws, take_step
from unlabeled_registry.registry import discover
from unlabeled_standard.objectives.masked_reconstruction import MaskedReconstruction
from unlabeled_standard.objectives.simclr import SimCLR
from unlabeled_video.encoders.resnet import ResNet
from unlabeled_video.encoders.videomae import VideoMAE
from unlabeled_video.masking import TubeMasking
from unlabeled_video.modality import Video

FACTS = Facts(samples=5, batch_size=5, steps=10, epochs=10.0)


@pytest.mark.parametrize("name", ["video-mae", "video-simclr"])
def test_recipes_resolve(name: str) -> None:
    registry = discover()
    recipe = resolve(load_recipe(name, [], registry), registry)
    modality = recipe.modalities["video"].modality.build()
    encoder = recipe.modalities["video"].encoder.build(modality)
    assert isinstance(modality, Video) and encoder.width > 0
    for steps in modality.pipelines().values():
        for step in steps:
            options = {key: value for key, value in step.items() if key != "id"}
            registry.load(registry.find("augmentation", step["id"])).Config(**options)


def test_masked_reconstruction_of_cubes(small: Video, view: View) -> None:
    torch.manual_seed(0)
    config = VideoMAE.Config(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, patch_size=4)
    encoders = {"video": VideoMAE(config, small)}
    mask = TubeMasking(TubeMasking.Config(ratio=0.75))(encoders["video"].layout(view), make_draws(view))
    view = View(view.inputs, view.ids, view.present, encoder="video", role="weak", masks={"mask": mask})
    options = MaskedReconstruction.Config(width=12, layers=1, heads=2, channels=3)
    objective = MaskedReconstruction(options, encoders, FACTS)
    step = take_step(objective, [view], encoders)
    assert step.counts["reconstruction"] == 5 * 24
    assert 0.8 < step.loss < 3
    parts = take_step(objective, [view], encoders, micro_batches=2)
    assert torch.allclose(step.loss, parts.loss, atol=1e-6)


def test_simclr_of_two_clips(small: Video, view: View) -> None:
    torch.manual_seed(0)
    config = ResNet.Config(embedding_size=8, hidden_sizes=(8, 12), depths=(1, 1))
    encoders = {"video": ResNet(config, small)}
    views = [
        View(view.inputs, view.ids, view.present, encoder="video", role="strong", index=index) for index in range(2)
    ]
    step = take_step(SimCLR(SimCLR.Config(projection=8), encoders, FACTS), views, encoders)
    assert torch.isfinite(step.loss)
    assert any(name.startswith("encoders.video") for name in step.gradients)
