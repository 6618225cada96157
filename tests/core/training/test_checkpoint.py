"""Checkpoints are whole or not there; a damaged file is named."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from unlabeled import UnlabeledError
from unlabeled.training.checkpoint import (
    Checkpoint,
    find_problem,
    list_checkpoints,
    load_checkpoint,
    optimizer_state,
    restore_optimizer,
    save_checkpoint,
)

FILES = ("model.safetensors", "optimizer.safetensors", "trainer.json")


def checkpoint(value: float = 1.0) -> Checkpoint:
    return Checkpoint({"weight": torch.full((3,), value)}, {"weight/exp_avg": torch.zeros(3)}, {"step": 5})


def test_saved_and_loaded_are_equal_and_old_ones_go(tmp_path: Path) -> None:
    for step in (1, 20, 300):
        save_checkpoint(tmp_path, step, checkpoint(step), keep=2)
    names = [path.name for path in list_checkpoints(tmp_path)]
    assert names == ["step-00000020", "step-00000300"]
    loaded = load_checkpoint(tmp_path / names[-1])
    assert torch.equal(loaded.model["weight"], torch.full((3,), 300.0))
    assert loaded.trainer == {"step": 5}
    assert {path.name for path in tmp_path.iterdir()} == set(names), "nothing else is left behind"


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(), keep=2)
    assert find_problem(path) is None
    target = path / file
    content = bytearray(target.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        target.write_bytes(content)
    elif damage == "truncate":
        target.write_bytes(content[:-1])
    else:
        target.unlink()
    problem = find_problem(path)
    assert problem is not None
    assert str(target) in problem


def test_a_missing_or_broken_manifest_is_named(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(), keep=2)
    (path / "manifest.json").write_text("{")
    assert "manifest.json: missing or not readable" in str(find_problem(path))


def test_a_disk_that_refuses_leaves_the_previous_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, checkpoint(), keep=1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("unlabeled.training.checkpoint.save_file", full)
    with pytest.raises(UnlabeledError, match=r"step-00000002: the checkpoint cannot be written \(No space left"):
        save_checkpoint(tmp_path, 2, checkpoint(), keep=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000001"]
    assert find_problem(tmp_path / "step-00000001") is None


def test_optimizer_goes_on_exactly() -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        module = nn.Linear(4, 2)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(0.5)
        return module, torch.optim.AdamW(module.parameters(), lr=0.1)

    def step(module: nn.Module, optimizer: torch.optim.Optimizer, value: float) -> None:
        optimizer.zero_grad()
        module(torch.full((1, 4), value)).square().sum().backward()
        optimizer.step()

    whole, whole_optimizer = build()
    for value in (1.0, 2.0, 3.0):
        step(whole, whole_optimizer, value)
    first, first_optimizer = build()
    step(first, first_optimizer, 1.0)
    state = {key: value.clone() for key, value in optimizer_state(first_optimizer, first).items()}
    second, second_optimizer = build()
    second.load_state_dict(first.state_dict())
    restore_optimizer(second_optimizer, second, state)
    for value in (2.0, 3.0):
        step(second, second_optimizer, value)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_manifest_lists_every_file(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, checkpoint(), keep=2)
    assert set(json.loads((path / "manifest.json").read_text())["files"]) == set(FILES)


def test_optimizer_state_of_channels_last_weights_is_put_back_in_their_order() -> None:
    values = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)

    def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        module.weight.grad = values.square()
        optimizer.step()

    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        module = nn.Module()
        module.weight = nn.Parameter(values.clone())
        return module, torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)

    whole, optimizer = build()
    step(whole, optimizer)
    state = {name: value.contiguous() for name, value in optimizer_state(optimizer, whole).items()}
    again, restored = build()
    again.load_state_dict(whole.state_dict())
    restore_optimizer(restored, again, state)
    step(whole, optimizer)
    step(again, restored)
    assert again.weight.equal(whole.weight)
