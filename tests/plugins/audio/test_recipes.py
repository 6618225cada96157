"""The shipped recipes on a little of the sample world, and on files in a folder."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForPreTraining

import unlabeled
from unlabeled import UnlabeledError

SHORT = [
    "training.steps=3",
    "training.batch_size=8",
    "training.warmup_steps=1",
    "training.log_every=1",
    "data.workers=0",
    "data.options.items={train: 96, validation: 8, test: 32}",
]
TINY = "modalities.audio.encoder={id: audio/wav2vec2, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16, "
TINY += "conv_dim: [8, 8], conv_kernel: [20, 8], conv_stride: [10, 8], num_conv_pos_embeddings: 4, num_conv_pos_embedding_groups: 2}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLABELED_CACHE", str(tmp_path / "cache"))


def test_wav2vec2_trains_reports_its_codes_and_exports(tmp_path: Path) -> None:
    run = unlabeled.train("audio-wav2vec2", [*SHORT, TINY], run=tmp_path / "run", quiet=True)
    lines = run.read("metrics.jsonl")
    assert np.isfinite([line["loss"] for line in lines]).all()
    assert lines[0].keys() >= {f"wav2vec2/{name}" for name in ("contrastive", "diversity", "penalty")}
    metrics = {line["evaluator"]: line["metrics"] for line in run.read("evaluations.jsonl")}
    assert any(name.endswith("codebook_perplexity_2") for name in metrics["standard/objective-loss"])
    assert any(name.endswith("contrastive_accuracy") for name in metrics["standard/objective-loss"])
    assert "accuracy" in metrics["standard/linear-probe"]
    extractor = AutoFeatureExtractor.from_pretrained(run.exports / "audio")
    inputs = extractor([np.zeros(4000, np.float32)], sampling_rate=8000, return_tensors="pt")
    assert AutoModel.from_pretrained(run.exports / "audio")(**inputs).last_hidden_state.shape[2] == 16
    joint = AutoModelForPreTraining.from_pretrained(run.exports / "audio-pretraining")
    assert joint.quantizer.num_vars == 64


def test_wav2vec2_is_the_same_in_micro_batches(tmp_path: Path) -> None:
    losses = []
    for number in (1, 2):
        options = [*SHORT, TINY, f"training.micro_batches={number}", "training.precision=float64", "evaluation=[]"]
        run = unlabeled.train("audio-wav2vec2", options, run=tmp_path / str(number), quiet=True)
        losses.append([line["loss"] for line in run.read("metrics.jsonl")])
    assert np.allclose(losses[0], losses[1], rtol=1e-9)


def test_simclr_on_a_folder_of_files_of_all_kinds(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(20):
        name, rate = f"{number}.{('wav', 'flac', 'ogg')[number % 3]}", (8000, 16000, 22050)[number % 3]
        sound = generator.normal(size=(rate // 2 + 100 * number, 1 + number % 2)) * 0.1
        path = tmp_path / "sounds" / ("one", "two")[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, rate)
    (tmp_path / "sounds" / "one" / "broken.wav").write_bytes(b"RIFF and nothing more")
    options = [
        "training.steps=4",
        "training.batch_size=6",
        "training.warmup_steps=1",
        "data.workers=0",
        "evaluation=[]",
    ]
    source = [f"data.source={tmp_path / 'sounds'}", "data.label=null", "data.options={}"]
    run = unlabeled.train("audio-simclr", [*options, *source], run=tmp_path / "run", quiet=True)
    assert np.isfinite([line["loss"] for line in run.read("metrics.jsonl")]).all()
    assert all("cannot be read as audio" in line["reason"] for line in run.read("quarantine.jsonl"))
    model = AutoModel.from_pretrained(run.exports / "audio").eval()
    extractor = AutoFeatureExtractor.from_pretrained(run.exports / "audio")
    inputs = extractor(np.zeros(6000, np.float32), sampling_rate=8000, return_tensors="pt")["input_values"]
    assert torch.isfinite(model(inputs.unsqueeze(1)).last_hidden_state).all()


def test_simclr_on_waveforms_needs_a_line(tmp_path: Path) -> None:
    waveform = f"modalities={{audio: {{id: audio/audio, sampling_rate: 8000, clip: 0.4, {TINY.partition('audio.')[2].replace('=', ': ', 1)}}}}}"
    options = [*SHORT, waveform, "augmentations={}", "evaluation=[]"]
    run = unlabeled.train("audio-simclr", options, run=tmp_path / "run", quiet=True)
    assert np.isfinite([line["loss"] for line in run.read("metrics.jsonl")]).all()


def test_wav2vec2_needs_local_features(tmp_path: Path) -> None:
    with pytest.raises(UnlabeledError, match="local-features"):
        unlabeled.train(
            "audio-wav2vec2", ["modalities.audio={id: audio/spectrogram}"], run=tmp_path / "run", quiet=True
        )
