"""Recomputed and compiled layers compute what plain ones do."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import unlabeled
from unlabeled.errors import UnlabeledError
from unlabeled.training.layers import compile_layers, repeated_layers
from unlabeled.training.learner import Learner

SMALL = [
    "data.options={items: {train: 96, validation: 16, test: 16}}",
    "data.workers=0",
    "training.steps=3",
    "training.batch_size=8",
    "training.log_every=1",
    "training.precision=float64",
    "evaluation=[]",
]
# A coupled objective in two passes and an uncoupled one, with dropout.
RECIPES = {
    "text-mlm": ["modalities.text.vocabulary_size=256", "modalities.text.encoder.dropout=0.1"],
    "clip": [
        "modalities.image.size=16",
        "modalities.image.encoder={id: vision/vit, hidden_size: 24, num_hidden_layers: 2, hidden_dropout_prob: 0.1}",
        "modalities.text.encoder.dropout=0.1",
        "training.micro_batches=2",
    ],
    "audio-wav2vec2": [],
}


def train(name: str, run: Path, *overrides: str) -> dict[str, torch.Tensor]:
    found = unlabeled.train(name, [*SMALL, *RECIPES[name], *overrides], run=run, quiet=True)
    (checkpoint,) = found.checkpoints.iterdir()
    return {**load_file(checkpoint / "model.safetensors"), **load_file(checkpoint / "optimizer.safetensors")}


def test_repeated_layers_are_the_outermost_of_one_class() -> None:
    model = nn.Module()
    model.stem = nn.Sequential(nn.Linear(2, 2), nn.GELU())
    model.stages = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(3))
    assert repeated_layers(model) == list(model.stages)


@pytest.mark.parametrize(
    "name", ["clip", *(pytest.param(name, marks=pytest.mark.slow) for name in ("text-mlm", "audio-wav2vec2"))]
)
def test_recomputed_layers_give_the_same_bits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(name, tmp_path / "plain")
    calls: list[int] = []
    checkpoint = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        "transformers.modeling_utils.checkpoint",
        lambda *args, **kwargs: (calls.append(1), checkpoint(*args, **kwargs))[1],  # type: ignore[no-untyped-call]
    )
    recomputed = train(name, tmp_path / "recomputed", "training.gradient_checkpointing=true")
    assert calls, "it took effect"
    assert recomputed.keys() == plain.keys()
    assert not [key for key, value in plain.items() if not value.equal(recomputed[key])]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip", "text-mlm"])
def test_compiled_layers_give_the_same_up_to_rounding(name: str, tmp_path: Path) -> None:
    plain, compiled = train(name, tmp_path / "plain"), train(name, tmp_path / "compiled", "training.compile=true")
    assert list(compiled) == list(plain), "the same names"
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-6, atol=1e-9, msg=key)
    unlabeled.load(tmp_path / "compiled")


@pytest.mark.slow
def test_a_hook_on_a_compiled_layer_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = nn.Module()
    encoder.layers = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.GELU()) for _ in range(2))
    compile_layers(Learner({"x": encoder}, {}, {}), torch.device("cpu"))  # type: ignore[dict-item]
    seen: list[int] = []
    encoder.layers[0](torch.ones(1, 2))
    handles = [
        module.register_forward_hook(lambda *_: seen.append(1)) for module in (encoder.layers[0], encoder.layers[0][0])
    ]
    encoder.layers[0](torch.ones(1, 2))
    assert len(seen) == 2
    for handle in handles:
        handle.remove()
    encoder.layers[0](torch.ones(1, 2))
    assert len(seen) == 2


@pytest.mark.parametrize("key", ["compile", "gradient_checkpointing"])
def test_an_encoder_without_such_layers_is_told(
    rows_recipe: dict[str, Any], tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlabeled.training.layers._check_compiler", lambda device: None)
    rows_recipe["training"][key] = True
    with pytest.raises(UnlabeledError, match=rf"^training\.{key}: .*row.*set it to false") as error:
        unlabeled.train(rows_recipe, run=tmp_path / "run", quiet=True)
    assert len(error.value.problems) == 1


@pytest.mark.slow
def test_no_compiler_is_one_line(rows_plugin: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    line = [sys.executable, "-m", "unlabeled", "train", "clip", *SMALL, "training.compile=true", "--run"]
    done = subprocess.run([*line, str(tmp_path / "run")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    (error,) = [text for text in done.stderr.splitlines() if text.startswith("error")]
    assert "training.compile: torch cannot compile for cpu (" in error
    assert error.endswith("install a C++ compiler such as g++, or set it to false")
