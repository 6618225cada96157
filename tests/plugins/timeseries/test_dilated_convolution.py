from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from unlabeled import View
from unlabeled.testing import check_encoder, check_export
from unlabeled_timeseries.encoders.dilated_convolution import (
    DilatedConvolution,
    DilatedConvolutionConfig,
    blocks_to_see,
)
from unlabeled_timeseries.modality import Series


@pytest.fixture
def build(fitted: Callable[..., Series]) -> Callable[..., DilatedConvolution]:
    def make(channels: int = 3, **options: Any) -> DilatedConvolution:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = DilatedConvolution(
                DilatedConvolutionConfig(**{"width": 16, **options}), fitted(channels=channels)
            )
            nn.init.normal_(encoder.mask_token)
        return encoder.double()

    return make


def doubled(view: View) -> View:
    return view.with_inputs(past_values=view.inputs["past_values"].double())


def plain_features(encoder: DilatedConvolution, series: Tensor) -> Tensor:
    """(D,): the features of one series (T, C) without padding, step by step."""
    values = encoder.projection(series)
    for number, block in enumerate(encoder.blocks):
        hidden = values
        for convolution in (block.first, block.second):
            hidden = functional.gelu(hidden)
            reach = convolution.kernel_size[0] // 2
            steps = []
            for step in range(len(hidden)):
                total = convolution.bias
                for tap in range(convolution.kernel_size[0]):
                    place = step + (tap - reach) * 2**number
                    if 0 <= place < len(hidden):
                        total = total + convolution.weight[:, :, tap] @ hidden[place]
                steps.append(total)
            hidden = torch.stack(steps)
        values = values + hidden
    return values.amax(dim=0)


@pytest.mark.parametrize("options", [{}, {"depth": 8}, {"kernel": 5, "depth": 2}])
def test_features_as_the_plain_ones(
    options: dict[str, int], build: Callable[..., DilatedConvolution], view_of: Any
) -> None:
    encoder, view = build(**options), doubled(view_of())
    features = encoder.pool(encoder(view))
    for row in range(view.rows):
        steps = int(view.inputs["past_observed_mask"][row, :, 0].sum())
        expected = plain_features(encoder, view.inputs["past_values"][row, :steps])
        torch.testing.assert_close(features[row], expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_promises_of_encoders(channels: int, dtype: torch.dtype, build: Any, view_of: Any) -> None:
    view = view_of(channels=channels)
    view = view.with_inputs(past_values=view.inputs["past_values"].to(dtype))
    check_encoder(build(channels=channels).to(dtype), view)


def test_features_do_not_depend_on_the_padding(build: Any, view_of: Any) -> None:
    encoder, view = build(), doubled(view_of())
    longer = view.with_inputs(**{name: functional.pad(value, (0, 0, 0, 25)) for name, value in view.inputs.items()})
    torch.testing.assert_close(encoder.pool(encoder(longer)), encoder.pool(encoder(view)), atol=1e-10, rtol=0)


def test_export_and_restore(tmp_path: Path, build: Any, view_of: Any) -> None:
    check_export(build().float(), view_of(), tmp_path)


def test_depth_follows_the_length(build: Any) -> None:
    assert [blocks_to_see(length, 3) for length in (2, 5, 6, 13, 14, 100, 1000)] == [1, 1, 2, 2, 3, 5, 8]
    assert len(build().blocks) == blocks_to_see(40, 3) == 4
    assert len(build(depth=7).blocks) == 7


def test_tokens_cannot_be_dropped(build: Any, view_of: Any) -> None:
    encoder, view = build(), doubled(view_of())
    with pytest.raises(ValueError, match="cannot drop tokens"):
        encoder.encode(encoder.embed(view), keep=torch.zeros(6, 1, dtype=torch.int64))


@pytest.mark.parametrize("options", [{"width": 0}, {"depth": 0}, {"kernel": 4}, {"kernel": 1}])
def test_config_is_checked(options: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        DilatedConvolutionConfig(**options)
