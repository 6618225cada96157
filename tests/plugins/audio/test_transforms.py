"""Transforms keep their promises on waveforms and spectrograms, and do what they say."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from unlabeled import View
from unlabeled.testing import check_transform, make_draws
from unlabeled_audio.log_mel import DECIBELS
from unlabeled_audio.transforms.base import SoundTransform, signal_of
from unlabeled_audio.transforms.level import (
    Equalizer,
    EqualizerConfig,
    Gain,
    GainConfig,
    Noise,
    NoiseConfig,
    Polarity,
    PolarityConfig,
    added_powers,
)
from unlabeled_audio.transforms.masking import FrequencyMask, FrequencyMaskConfig, TimeMask, TimeMaskConfig
from unlabeled_audio.transforms.warping import (
    Crop,
    CropConfig,
    Pitch,
    PitchConfig,
    Speed,
    SpeedConfig,
    interpolated,
)

TRANSFORMS: list[SoundTransform] = [
    Gain(GainConfig()),
    Polarity(PolarityConfig()),
    Noise(NoiseConfig()),
    Equalizer(EqualizerConfig()),
    TimeMask(TimeMaskConfig()),
    FrequencyMask(FrequencyMaskConfig()),
    Crop(CropConfig()),
    Speed(SpeedConfig()),
    Pitch(PitchConfig()),
]
names = pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: type(transform).__name__)


def many(view: View, copies: int = 16) -> View:
    """The rows of a view over and over, under different ids."""
    inputs = {name: value.repeat(copies, *[1] * (value.ndim - 1)) for name, value in view.inputs.items()}
    extra = {name: value.repeat(copies) for name, value in view.extra.items()}
    rows = view.rows * copies
    return replace(
        view, inputs=inputs, extra=extra, ids=torch.arange(rows) * 31 + 5, present=torch.ones(rows, dtype=torch.bool)
    )


def apply(transform: SoundTransform, view: View) -> View:
    return transform(view, make_draws(view))


@names
def test_promises(transform: SoundTransform, waveforms: View, images: View) -> None:
    for view in (waveforms, images):
        check_transform(transform, view)
        wide = view.with_inputs(
            **{name: value.double() for name, value in view.inputs.items() if value.is_floating_point()}
        )
        check_transform(transform, wide)


@names
def test_padding_stays_zero_and_lengths_fit(transform: SoundTransform, waveforms: View, images: View) -> None:
    for view in (many(waveforms), many(images)):
        signal = signal_of(apply(transform, view))
        assert signal.values.shape == signal_of(view).values.shape
        assert not torch.where(signal.real, 0, signal.values).any()
        assert bool((signal.lengths >= 1).all() and (signal.lengths <= signal.values.shape[1]).all())
        assert torch.isfinite(signal.values).all()


@names
def test_probability_zero_changes_nothing(transform: SoundTransform, waveforms: View, images: View) -> None:
    never = type(transform)(type(transform.config)(probability=0))
    for view in (waveforms, images):
        result = apply(never, view)
        assert all(torch.equal(value, view.inputs[name]) for name, value in result.inputs.items())


@names
def test_every_row_differs(transform: SoundTransform, waveforms: View, images: View) -> None:
    certain = type(transform)(type(transform.config)(probability=1))
    changed = 0
    for view in (many(waveforms), many(images)):
        rows = signal_of(apply(certain, view)).values[::4]
        changed += len(torch.unique(rows.flatten(1), dim=0)) > 8
    assert changed >= 1 or isinstance(transform, Polarity)


def test_gain_is_in_decibels(waveforms: View, images: View) -> None:
    louder = Gain(GainConfig(decibels=(20, 20)))
    signal = signal_of(apply(louder, waveforms))
    assert torch.allclose(signal.values, signal_of(waveforms).values * 10)
    spectral = signal_of(apply(louder, images))
    real = spectral.real.expand_as(spectral.values)
    assert torch.allclose(spectral.values[real], (signal_of(images).values + 20 / DECIBELS)[real])


def test_polarity_turns_waveforms_over(waveforms: View, images: View) -> None:
    turn = Polarity(PolarityConfig(probability=1))
    assert torch.equal(signal_of(apply(turn, waveforms)).values, -signal_of(waveforms).values)
    assert apply(turn, images).inputs["pixel_values"].equal(images.inputs["pixel_values"])


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_noise_has_its_ratio(waveforms: View, images: View, snr: float) -> None:
    noise = Noise(NoiseConfig(probability=1, snr=(snr, snr), slope=(0, 0)))
    before, after = signal_of(many(waveforms)), signal_of(apply(noise, many(waveforms)))
    power = replace(before, values=after.values - before.values).level
    assert torch.allclose(10 * torch.log10(before.level / power).mean(), torch.tensor(snr), atol=0.2)
    spectral = signal_of(many(images))
    quiet = replace(spectral, values=torch.where(spectral.real, spectral.values, 0))
    both = signal_of(apply(noise, many(images)))
    added = 10 * torch.log10(1 + 10 ** (-torch.tensor(snr) / 10))
    assert torch.allclose((both.level - quiet.level).mean(), added, atol=0.2)


def test_powers_of_independent_sounds_add() -> None:
    assert float(added_powers(torch.tensor(10.0), torch.tensor(10.0))) == pytest.approx(10 + 3.0103, abs=1e-4)


def test_equalizer_is_smooth_over_frequency_and_the_same_at_all_times(images: View) -> None:
    view = many(images)
    change = signal_of(apply(Equalizer(EqualizerConfig(decibels=6.0)), view)).values - signal_of(view).values
    real = signal_of(view).real
    assert torch.allclose(torch.where(real, change, change[:, :1]), change[:, :1].expand_as(change), atol=1e-6)
    assert float((change[:, 0] * DECIBELS).std()) == pytest.approx(6.0, rel=0.3)
    assert float(change[:, 0].diff(dim=1).abs().max()) < 0.2


def test_masks_are_stretches_of_at_most_their_width(waveforms: View, images: View) -> None:
    for count in (1, 3):
        ones = many(waveforms).with_inputs(input_values=many(waveforms).inputs["attention_mask"].float())
        signal = signal_of(apply(TimeMask(TimeMaskConfig(count=count, width=0.2)), ones))
        hidden = (signal.values == 0) & signal.real
        share = hidden.sum(dim=(1, 2)) / signal.lengths
        assert float(share.max()) <= 0.2 * count
        assert float(share.mean()) > 0.05 * count
        edges = torch.diff(hidden[:, :, 0].int(), dim=1).abs().sum(dim=1)
        assert int(edges.max()) <= 2 * count
    view = many(images)
    bands = signal_of(apply(FrequencyMask(FrequencyMaskConfig(count=1, width=0.5)), view)).values
    flat = (bands[:, :8] - bands[:, :1, :]).abs().amax(dim=1) < 1e-6
    assert int(flat.sum(dim=1).max()) <= 10
    assert 2 < float(flat.sum(dim=1).float().mean()) < 8


def test_crop_moves_a_part_to_the_start(waveforms: View) -> None:
    view = many(waveforms)
    ramp = torch.arange(1.0, 4801).expand(view.rows, -1) * view.inputs["attention_mask"]
    signal = signal_of(apply(Crop(CropConfig(share=(0.5, 0.75))), view.with_inputs(input_values=ramp)))
    before = view.inputs["attention_mask"].sum(dim=1)
    share = signal.lengths / before
    assert float(share.min()) >= 0.5
    assert float(share.max()) <= 0.752
    steps = torch.diff(signal.values[:, :, 0], dim=1)[signal.real[:, 1:, 0]]
    assert bool((steps == 1).all())
    last = signal.values[:, 0, 0] + signal.lengths - 1
    assert bool((last <= before).all())
    assert bool((signal.values[:, 0, 0] >= 1).all())


def test_speed_reads_at_its_factor(waveforms: View) -> None:
    ramp = torch.arange(4800.0).expand(4, -1) * waveforms.inputs["attention_mask"]
    view = waveforms.with_inputs(input_values=ramp)
    faster = signal_of(apply(Speed(SpeedConfig(factor=(1.25, 1.25))), view))
    assert faster.lengths.tolist() == [3200, 1984, 768, 3840]
    places = torch.arange(4800.0) * 1.25
    assert torch.allclose(torch.where(faster.real[0, :, 0], places, 0), faster.values[0, :, 0], atol=1e-2)
    slower = signal_of(apply(Speed(SpeedConfig(factor=(0.5, 0.5))), view))
    assert slower.lengths.tolist() == [4800, 4800, 1919, 4800]


def test_pitch_moves_along_the_mel_axis(images: View) -> None:
    ramp = torch.arange(20.0).expand(4, 1, 58, 20).clone()
    view = replace(images.with_inputs(pixel_values=ramp), extra={"lengths": torch.full((4,), 58)})
    moved = signal_of(apply(Pitch(PitchConfig(shift=0.1, stretch=0.0)), view)).values
    offset = moved[:, :, 10:11] - 10
    assert float(offset.abs().max()) <= 2
    assert float(offset.abs().max()) > 0
    assert torch.allclose(moved, (torch.arange(20.0) + offset).clamp(0, 19), atol=1e-5)


def test_interpolation_against_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64)
    for axis, size in ((1, 5), (2, 3)):
        places = torch.rand(2, size, generator=generator, dtype=torch.float64) * (size - 1)
        result = interpolated(values, places, axis)
        for row in range(2):
            for number, place in enumerate(places[row].tolist()):
                low = int(place)
                line = values[row].movedim(axis - 1, 0)
                expected = line[low] + (place - low) * (line[min(low + 1, size - 1)] - line[low])
                assert torch.allclose(result[row].movedim(axis - 1, 0)[number], expected)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (GainConfig, {"decibels": (3, -3)}),
        (GainConfig, {"probability": 1.5}),
        (NoiseConfig, {"snr": (10, 0)}),
        (TimeMaskConfig, {"width": 1.5}),
        (TimeMaskConfig, {"count": 0}),
        (FrequencyMaskConfig, {"width": -0.1}),
        (CropConfig, {"share": (0.0, 1.0)}),
        (CropConfig, {"share": (0.5, 1.5)}),
        (SpeedConfig, {"factor": (0.0, 1.0)}),
        (PitchConfig, {"shift": 0.6}),
        (EqualizerConfig, {"waves": 0}),
    ],
)
def test_wrong_options(config: type, options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        config(**options)
