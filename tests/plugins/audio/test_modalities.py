"""Clips, padding and spectrograms."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import ASTFeatureExtractor

from unlabeled import Draws, Modality, View
from unlabeled_audio.log_mel import MEAN, STD, frames, log_mel
from unlabeled_audio.spectrogram import Spectrogram, SpectrogramConfig
from unlabeled_audio.waveform import Audio, AudioConfig

RATE = 8000
Cells = list[dict[str, object]]
Maker = Callable[[Modality, Sequence[object], str], View]


def draws(number: int, index: int = 0) -> Draws:
    return Draws(0, 0, torch.tensor([number]), "audio", "strong", index)


def test_clips_are_padded_on_the_right_to_one_length(view_of: Maker, audio: Audio, cells: Cells) -> None:
    view = view_of(audio, cells, "strong")
    assert view.inputs["input_values"].shape == (4, 4800)
    assert view.inputs["attention_mask"].sum(dim=1).tolist() == [4000, 2480, 960, 4800]
    for row, cell in enumerate(cells[:3]):
        sound = torch.tensor(np.asarray(cell["array"]))
        assert torch.equal(view.inputs["input_values"][row, : len(sound)], sound)
        assert not view.inputs["input_values"][row, len(sound) :].any()


def test_plain_is_the_whole_or_the_middle(view_of: Maker, cells: Cells) -> None:
    audio = Audio(AudioConfig(sampling_rate=RATE, clip=0.2, evaluation_clip=0.4))
    view = view_of(audio, cells, "plain")
    assert view.inputs["attention_mask"].sum(dim=1).tolist() == [3200, 2480, 960, 3200]
    sound = torch.tensor(np.asarray(cells[3]["array"]))
    assert torch.equal(view.inputs["input_values"][3], sound[1600:4800])
    assert view_of(audio, cells[1:3], "plain").inputs["input_values"].shape == (2, 2480)


def test_clips_start_anywhere_by_their_own_draws() -> None:
    audio = Audio(AudioConfig(sampling_rate=1000, clip=0.1))
    sample = {"input_values": np.arange(103, dtype=np.float32)}
    starts = [int(audio.take(sample, draws(number), "strong")["input_values"][0]) for number in range(64)]
    assert set(starts) == {0, 1, 2, 3}
    again = audio.take(sample, draws(5), "strong")["input_values"]
    assert np.array_equal(again, audio.take(sample, draws(5), "strong")["input_values"])
    assert [int(audio.take(sample, draws(n, 1), "strong")["input_values"][0]) for n in range(64)] != starts


def test_spectrograms_have_one_length_and_say_which_frames_are_real(
    view_of: Maker, spectrogram: Spectrogram, cells: Cells
) -> None:
    for role in ("plain", "strong"):
        view = view_of(spectrogram, cells, role)
        assert view.inputs["pixel_values"].shape == (4, 1, 58, 20)
        assert view.extra["lengths"].tolist() == [48, 29, 10, 58]
        for row, length in enumerate(view.extra["lengths"].tolist()):
            assert not view.inputs["pixel_values"][row, :, length:].any()
            assert view.inputs["pixel_values"][row, :, :length].all()


def test_spectrograms_are_those_of_the_stock_extractor(view_of: Maker, spectrogram: Spectrogram, cells: Cells) -> None:
    extractor = ASTFeatureExtractor(sampling_rate=RATE, num_mel_bins=20, max_length=58, mean=MEAN, std=STD)
    sounds = [np.asarray(cell["array"]) for cell in cells[:3]]
    expected = extractor(sounds, sampling_rate=RATE, return_tensors="pt")["input_values"]
    view = view_of(spectrogram, cells[:3], "plain")
    assert torch.equal(view.inputs["pixel_values"][:, 0], expected)


def test_one_unit_is_forty_decibels(sound: np.ndarray) -> None:
    change = log_mel(sound, RATE, 20) - log_mel(sound * 0.1, RATE, 20)
    assert np.abs(change - 0.5).max() < 1e-3


@pytest.mark.parametrize("samples", [200, 279, 280, 799, 4800])
def test_number_of_frames(sound: np.ndarray, samples: int) -> None:
    assert len(log_mel(sound[:samples], RATE, 20)) == frames(samples, RATE)


def test_raw_features_ignore_padding(view_of: Maker, audio: Audio, spectrogram: Spectrogram, cells: Cells) -> None:
    for modality, size in ((audio, 320), (spectrogram, 160)):
        together = modality.raw(view_of(modality, cells, "plain"))
        assert together.shape == (4, size)
        assert torch.isfinite(together).all()
        alone = modality.raw(view_of(modality, cells[1:2], "plain"))
        assert torch.allclose(together[1], alone[0], atol=1e-6)


def test_blanks_and_pictures(audio: Audio, spectrogram: Spectrogram, cells: Cells) -> None:
    for modality in (audio, spectrogram):
        blank = modality.take(modality.blank(), draws(0), "strong")
        assert modality.collate([blank])[modality.input_name].shape[1:] == modality.input_shape
        for sample in (modality.blank(), modality.decode(cells[0])):
            picture = modality.show(sample)
            assert isinstance(picture, np.ndarray)
            assert picture.dtype == np.uint8
            assert picture.shape[2] == 3


@pytest.mark.parametrize(
    "options", [{"clip": 0.0}, {"clip": 0.05}, {"evaluation_clip": 0.05}, {"sampling_rate": 10}, {"mel": 3}]
)
def test_wrong_options(options: dict[str, float]) -> None:
    for config in (AudioConfig, SpectrogramConfig):
        with pytest.raises(ValidationError):
            config(**options)
