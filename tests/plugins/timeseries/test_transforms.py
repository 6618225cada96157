"""Each transform beside a plain one that takes the series one by one, without padding."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline

from unlabeled import Draws, Transform, View
from unlabeled.testing import check_transform, make_draws, make_view, rows_of_view
from unlabeled_timeseries.transforms.series import smooth_curve
from unlabeled_timeseries.transforms.time import (
    Crop,
    CropConfig,
    Permutation,
    PermutationConfig,
    TimeWarp,
    TimeWarpConfig,
)
from unlabeled_timeseries.transforms.values import (
    Jitter,
    JitterConfig,
    MagnitudeWarp,
    MagnitudeWarpConfig,
    Scaling,
    ScalingConfig,
)

ViewOf = Callable[..., View]
TRANSFORMS: list[Transform] = [
    Jitter(JitterConfig()),
    Scaling(ScalingConfig()),
    MagnitudeWarp(MagnitudeWarpConfig()),
    TimeWarp(TimeWarpConfig()),
    TimeWarp(TimeWarpConfig(sigma=2.0)),
    Crop(CropConfig(ratio=(0.3, 0.9))),
    Crop(CropConfig(ratio=(0.3, 0.9), resize=False)),
    Permutation(PermutationConfig()),
]


def natural_spline(knots: np.ndarray, steps: int) -> np.ndarray:
    places = np.linspace(0, len(knots) - 1, steps) if steps > 1 else np.zeros(1)
    return CubicSpline(np.arange(len(knots)), knots, bc_type="natural")(places)


def read_at(values: np.ndarray, moments: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(moments, np.arange(len(values)), column) for column in values.T], axis=1)


def plain(transform: Transform, values: np.ndarray, draws: Draws) -> np.ndarray:
    """The transform of one series (T, C) float64."""
    steps, channels = values.shape
    config = transform.config
    match transform:
        case Jitter():
            return values + config.sigma * draws("noise").normal(steps, channels)[0].numpy()
        case Scaling():
            return values * (config.mean + config.sigma * draws("factor").normal(channels)[0].numpy())
        case MagnitudeWarp():
            knots = 1 + config.sigma * draws("knots").normal(config.knots + 2, channels)[0].numpy()
            return values * natural_spline(knots, steps)
        case TimeWarp():
            knots = 1 + config.sigma * draws("knots").normal(config.knots + 2, 1)[0].numpy().astype(float)
            speed = np.maximum(natural_spline(knots[:, 0], steps), 0.05)
            travelled = np.array([np.trapezoid(speed[: step + 1]) for step in range(steps)])
            return read_at(values, travelled / max(travelled[-1], 1e-9) * (steps - 1))
        case Crop():
            share = float(draws("share").uniform(low=config.ratio[0], high=config.ratio[1])[0])
            count = min(max(2, round(share * steps)), steps)
            start = int(draws("start").integers(0, steps - count + 1)[0])
            window = values[start : start + count]
            return read_at(window, np.linspace(0, count - 1, steps)) if config.resize else window
        case Permutation():
            count = min(int(draws("count").integers(1, config.segments + 1)[0]), steps)
            cuts = draws("cuts").subset((torch.arange(steps) > 0).unsqueeze(0), count - 1)[0].nonzero()[:, 0].numpy()
            rank = draws("order").permutation(torch.tensor([count]))[0].tolist()
            segments = np.split(values, cuts)
            return np.concatenate([segments[rank.index(place)] for place in range(count)])
    raise AssertionError(transform)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_as_the_plain_one(transform: Transform, channels: int, view_of: ViewOf) -> None:
    view = view_of(channels=channels)
    view = view.with_inputs(past_values=view.inputs["past_values"].double())
    result = transform(view, make_draws(view))
    for row in range(view.rows):
        steps = int(view.inputs["past_observed_mask"][row, :, 0].sum())
        single = rows_of_view(view, slice(row, row + 1))
        expected = plain(transform, view.inputs["past_values"][row, :steps].numpy(), make_draws(single))
        observed = result.inputs["past_observed_mask"][row, :, 0]
        assert int(observed.sum()) == len(expected) and observed[: len(expected)].all()
        actual = result.inputs["past_values"][row]
        np.testing.assert_allclose(actual[: len(expected)].numpy(), expected, atol=1e-6)
        assert actual[len(expected) :].count_nonzero() == 0


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda it: type(it).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_the_promises_of_transforms(transform: Transform, dtype: torch.dtype, view_of: ViewOf) -> None:
    view = view_of()
    check_transform(transform, view.with_inputs(past_values=view.inputs["past_values"].to(dtype)))


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda it: type(it).__name__)
def test_more_padding_changes_nothing(transform: Transform, view_of: ViewOf) -> None:
    view = view_of()
    longer = view.with_inputs(
        **{name: torch.nn.functional.pad(value, (0, 0, 0, 9)) for name, value in view.inputs.items()}
    )
    short, long = transform(view, make_draws(view)), transform(longer, make_draws(longer))
    torch.testing.assert_close(long.inputs["past_values"][:, :-9], short.inputs["past_values"], atol=1e-6, rtol=0)
    assert long.inputs["past_values"][:, -9:].count_nonzero() == 0


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda it: type(it).__name__)
def test_without_a_mask_every_step_is_real(transform: Transform, view_of: ViewOf) -> None:
    view = view_of((40, 40, 40))
    bare = make_view({"past_values": view.inputs["past_values"]}, encoder="series", role="strong")
    expected = transform(view, make_draws(view)).inputs["past_values"]
    assert torch.equal(transform(bare, make_draws(bare)).inputs["past_values"], expected)


@pytest.mark.parametrize("knots", [2, 3, 4, 6, 9])
def test_smooth_curve_is_the_natural_cubic_spline(knots: int) -> None:
    values = torch.randn(3, knots, 2, generator=torch.Generator().manual_seed(knots), dtype=torch.float64)
    lengths = torch.tensor([30, 17, 2])
    curve = smooth_curve(values, 30, lengths)
    for row, length in enumerate(lengths.tolist()):
        np.testing.assert_allclose(curve[row, :length], natural_spline(values[row].numpy(), length), atol=1e-12)
        assert torch.allclose(curve[row, length:], values[row, -1])


def test_time_warp_moves_all_channels_alike_and_keeps_the_ends() -> None:
    ramp = torch.arange(50.0).reshape(1, 50, 1).expand(200, 50, 2).contiguous()
    view = make_view({"past_values": ramp})
    warped = TimeWarp(TimeWarpConfig(sigma=0.5))(view, make_draws(view)).inputs["past_values"]
    assert torch.equal(warped[..., 0], warped[..., 1])
    assert (warped.diff(dim=1) > 0).all()
    torch.testing.assert_close(warped[:, [0, -1]], ramp[:, [0, -1]], atol=1e-4, rtol=0)
    assert (warped[:, 25] - 24.5).abs().max() > 2


def test_permutation_gives_each_row_its_own_order_and_each_channel_its_own_values() -> None:
    ramp = torch.stack([torch.arange(60.0), 100 + torch.arange(60.0)], dim=1).expand(400, 60, 2).contiguous()
    view = make_view({"past_values": ramp})
    mixed = Permutation(PermutationConfig(segments=5))(view, make_draws(view)).inputs["past_values"]
    assert torch.equal(mixed[..., 1] - mixed[..., 0], torch.full((400, 60), 100.0))
    assert torch.equal(mixed[..., 0].sort(dim=1).values, ramp[..., 0])
    breaks = (mixed[..., 0].diff(dim=1) != 1).sum(dim=1)
    assert set(breaks.tolist()) == {0, 1, 2, 3, 4}
    assert len(mixed[..., 0].unique(dim=0)) > 200


def test_crop_says_where_its_window_lies_also_in_a_window() -> None:
    ramp = torch.arange(101.0).reshape(1, 101, 1).expand(50, 101, 1).contiguous()
    view = make_view({"past_values": ramp})
    crop = Crop(CropConfig(ratio=(0.3, 0.6)))
    once = crop(view, make_draws(view))
    twice = crop(once, make_draws(view, seed=1))
    for result in (once, twice):
        assert result.window is not None and result.window.shape == (50, 2)
        values = result.inputs["past_values"][..., 0]
        torch.testing.assert_close(result.window[:, 0] * 101, values[:, 0], atol=1.0, rtol=0)
        torch.testing.assert_close(result.window[:, 1] * 101 - 1, values[:, -1], atol=1.0, rtol=0)
    share = once.window[:, 1] - once.window[:, 0]  # type: ignore[index]
    assert share.min() >= 0.29 and share.max() <= 0.61 and share.std() > 0.05


def test_moments_of_the_noise() -> None:
    view = make_view({"past_values": torch.ones(500, 40, 2)})
    noise = Jitter(JitterConfig(sigma=0.5))(view, make_draws(view)).inputs["past_values"] - 1
    assert abs(float(noise.mean())) < 0.01 and abs(float(noise.std()) - 0.5) < 0.01
    factor = Scaling(ScalingConfig(mean=2.0, sigma=0.3))(view, make_draws(view)).inputs["past_values"]
    assert torch.equal(factor, factor[:, :1].expand_as(factor))
    assert abs(float(factor.mean()) - 2.0) < 0.05 and abs(float(factor[:, 0].std()) - 0.3) < 0.03
    curve = MagnitudeWarp(MagnitudeWarpConfig(sigma=0.2))(view, make_draws(view)).inputs["past_values"]
    assert abs(float(curve.mean()) - 1.0) < 0.02 and abs(float(curve[:, 0].std()) - 0.2) < 0.02


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (JitterConfig, {"sigma": -0.1}),
        (ScalingConfig, {"sigma": -0.1}),
        (MagnitudeWarpConfig, {"knots": -1}),
        (TimeWarpConfig, {"sigma": -1}),
        (CropConfig, {"ratio": (0.0, 0.5)}),
        (CropConfig, {"ratio": (0.9, 0.5)}),
        (CropConfig, {"ratio": (0.5, 1.1)}),
        (PermutationConfig, {"segments": 0}),
    ],
)
def test_config_is_checked(config: type, options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        config(**options)
