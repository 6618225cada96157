from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel
from transformers.models.patchtst.modeling_patchtst import PatchTSTMasking

from unlabeled import BatchNorm, View
from unlabeled.testing import check_encoder, check_export
from unlabeled.training.normalization import settle
from unlabeled_timeseries.encoders.patchtst import PatchTST, PatchTSTOptions
from unlabeled_timeseries.modality import Series

FULL = (40, 40, 40)


@pytest.fixture
def build(fitted: Callable[..., Series]) -> Callable[..., PatchTST]:
    def make(channels: int = 3, **options: Any) -> PatchTST:
        small = {"width": 16, "heads": 4, "depth": 2, "feed_forward": 24, "patch_length": 6}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = PatchTST(PatchTSTOptions(**{**small, **options}), fitted(channels=channels)).eval()
            # Fresh biases are zero and fresh norms do nothing: mistakes with them would not show.
            for parameter in encoder.model.parameters():
                if parameter.requires_grad:
                    parameter.data.add_(0.1 * torch.randn_like(parameter))
        return encoder

    return make


def own_forward(encoder: PatchTST, view: View) -> Tensor:
    """(B, N * C, D): the model's own forward in the order of the tokens."""
    return encoder.model(**view.inputs).last_hidden_state.transpose(1, 2).flatten(1, 2)


@pytest.mark.parametrize(
    "options", [{}, {"patch_stride": 3}, {"scaling": "mean"}, {"scaling": "none"}, {"norm": "batch"}]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_the_models_own_forward_also_with_padding(
    options: dict[str, Any], channels: int, build: Callable[..., PatchTST], view_of: Any
) -> None:
    encoder, view = build(channels, **options), view_of(channels=channels)
    with torch.no_grad():
        assert torch.equal(encoder(view).values, own_forward(encoder, view))
        bare = view.with_inputs()
        bare.inputs.pop("past_observed_mask")
        assert torch.equal(encoder(bare).values, own_forward(encoder, bare))


@pytest.mark.parametrize("channels", [1, 3])
def test_keeps_the_promises_of_encoders(channels: int, build: Any, view_of: Any) -> None:
    encoder = build(channels)
    check_encoder(encoder, view_of(FULL, channels), lambda batch: own_forward(encoder.eval(), batch))


def test_runs_in_float64(build: Any, view_of: Any) -> None:
    encoder, view = build().double(), view_of()
    view = view.with_inputs(past_values=view.inputs["past_values"].double())
    assert encoder.pool(encoder(view)).dtype == torch.float64


def test_a_row_is_the_same_in_any_batch(build: Any, view_of: Any) -> None:
    encoder, view = build(), view_of()
    with torch.no_grad():
        together = encoder.pool(encoder(view))
        for row in range(view.rows):
            alone = view.with_inputs(**{name: value[row : row + 1] for name, value in view.inputs.items()})
            torch.testing.assert_close(encoder.pool(encoder(alone))[0], together[row], atol=1e-6, rtol=0)


def test_layout_tells_the_tokens_that_hold_observed_steps(build: Any, view_of: Any) -> None:
    encoder, view = build(), view_of()
    layout = encoder.layout(view)
    assert layout.grid == (6, 3)  # 40 steps: the first 4 are not read, then six patches
    assert layout.lengths.tolist() == [18, 12, 15, 0, 0, 18]
    for row, length in enumerate(layout.lengths.tolist()):
        assert layout.maskable[row].tolist() == [True] * length + [False] * (18 - length)


def test_kept_tokens_see_the_kept_ones_of_their_own_channel(build: Any, view_of: Any) -> None:
    encoder, view = build(), view_of(FULL)
    tokens = encoder.embed(view)
    keep = torch.tensor([[0, 3, 7, 9, 17], [1, 4, 10, 2, 5], [0, 1, 2, 3, 4]])
    with torch.no_grad():
        kept = encoder.encode(tokens, keep=keep, layers="hidden")
        for row in range(3):
            for channel in range(3):
                chosen = [place for place, token in enumerate(keep[row].tolist()) if token % 3 == channel]
                if not chosen:
                    continue
                values = tokens.values[row, keep[row, chosen]].reshape(1, 1, len(chosen), 16)
                for depth, layer in enumerate(encoder.model.encoder.layers):
                    values = layer(hidden_state=values)[0]
                    torch.testing.assert_close(kept.layers[depth][row, chosen], values[0, 0], atol=1e-6, rtol=0)
                torch.testing.assert_close(kept.values[row, chosen], values[0, 0], atol=1e-6, rtol=0)


def test_replace_is_the_models_own_masking(build: Any, view_of: Any) -> None:
    encoder, view = build(), view_of(FULL)
    model = encoder.model
    patches = model.patchifier(model.scaler(view.inputs["past_values"], view.inputs["past_observed_mask"])[0])
    model.config.random_mask_ratio = 0.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        masked, mask = PatchTSTMasking(model.config)(patches)
    expected = model.encoder(masked).last_hidden_state.transpose(1, 2).flatten(1, 2)
    chosen = mask.transpose(1, 2).flatten(1, 2)
    actual = encoder.encode(encoder.replace(encoder.embed(view), chosen)).values
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


def test_patches_are_the_scaled_steps_and_unpatch_puts_them_back(build: Any, view_of: Any) -> None:
    encoder, view = build(), view_of(FULL)
    values, patches = view.inputs["past_values"], encoder.patches(view)
    assert patches.shape == (3, 18, 6)
    scaled = (values - values.mean(1, keepdim=True)) / (values.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(patches[1, 4 * 3 + 2], scaled[1, 4 + 4 * 6 : 4 + 5 * 6, 2], atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.unpatch(patches, view), values, atol=1e-5, rtol=0)


def test_overlapping_patches_are_no_targets(build: Any) -> None:
    assert "patches" in build().provides
    assert "patches" not in build(patch_stride=3).provides


def test_batch_norms_are_synchronised_and_still_load(tmp_path: Path, build: Any, view_of: Any) -> None:
    encoder, view = build(norm="batch"), view_of()
    norms = [module for module in encoder.modules() if isinstance(module, BatchNorm)]
    assert len(norms) == 4 and not any(isinstance(module, torch.nn.BatchNorm1d) for module in encoder.modules())
    encoder.train()(view)
    settle(norms, taken=True)
    encoder.eval().export(tmp_path)
    model = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            model(**view.inputs).last_hidden_state, encoder.model(**view.inputs).last_hidden_state
        )


def test_export_loads_with_transformers_alone(tmp_path: Path, build: Any, view_of: Any) -> None:
    encoder, view = build(), view_of()
    encoder.export(tmp_path)
    model = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = encoder(view).values
        actual = model(**view.inputs).last_hidden_state.transpose(1, 2).flatten(1, 2)
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)
    check_export(encoder, view, tmp_path / "again")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_length": 40}, "patch_length 40 must be less than the 40 steps"),
        ({"width": 18}, "width 18 must be a multiple of heads 4"),
        ({"width": 15, "heads": 5}, "multiple of 2"),
    ],
)
def test_impossible_sizes_say_what_to_change(options: dict[str, int], message: str, build: Any) -> None:
    with pytest.raises(ValueError, match=message):
        build(**options)
