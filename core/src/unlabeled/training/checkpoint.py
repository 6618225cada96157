"""Checkpoints: safetensors and JSON, written aside, flushed, hashed in a manifest, renamed."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlabeled.errors import UnlabeledError
from unlabeled.training.distributed import process_index
from unlabeled.training.sharding import join_parts, like

_NAME = re.compile(r"step-(\d{8,})")
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """What continuing needs."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    trainer: dict[str, Any]
    """What the trainer counts; where tensors are sharded, `shards` has their whole shapes, and the tensors are one part."""


def write_part(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write the part of this process, where it is another than the first, to where `save_checkpoint` takes it from."""
    parts, rank = _parts(folder, step), process_index()
    if rank == 0 or "shards" not in checkpoint.trainer:
        return
    try:
        parts.mkdir(parents=True, exist_ok=True)
        for stem, tensors in (("model", checkpoint.model), ("optimizer", checkpoint.optimizer)):
            path = parts / f"{stem}-{rank}.safetensors"
            save_file(_plain(tensors), path)
            _flush(path)
    except OSError as error:
        raise UnlabeledError(
            f"{parts}: the checkpoint of step {step} cannot be written ({error.strerror or error}); free or unlock the disk "
            "and start again, the previous checkpoint is intact"
        ) from None


def checkpoint_name(step: int) -> str:
    """`step-00001000`."""
    return f"step-{step:08d}"


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint, keep: int) -> Path:
    """Write the checkpoint of `step` under `folder` and remove all but the newest `keep`; atomic.

    `UnlabeledError` where the disk refuses; what was there before stays as it was.
    """
    final = folder / checkpoint_name(step)
    partial = folder / f".{final.name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(_plain(checkpoint.model), partial / "model.safetensors")
        save_file(_plain(checkpoint.optimizer), partial / "optimizer.safetensors")
        for part in range(1, _parts_of(checkpoint.trainer)):
            for stem in ("model", "optimizer"):
                (_parts(folder, step) / f"{stem}-{part}.safetensors").rename(partial / f"{stem}-{part}.safetensors")
        (partial / "trainer.json").write_text(json.dumps(checkpoint.trainer, indent=1))
        hashes = {path.name: _hash(path) for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps({"files": hashes}, indent=1))
        for path in partial.iterdir():
            _flush(path)
        _flush(partial)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        _flush(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UnlabeledError(
            f"{final}: the checkpoint cannot be written ({error.strerror or error}); free or unlock the disk and start again, "
            "the previous checkpoint is intact"
        ) from None
    for left in folder.glob(".step-*.parts"):
        shutil.rmtree(left)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def find_problem(path: Path) -> str | None:
    """Why a checkpoint cannot be trusted, naming the file, or None where every file is as it was written."""
    try:
        hashes = json.loads((path / MANIFEST).read_text())["files"]
    except (OSError, ValueError, KeyError):
        return f"{path / MANIFEST}: missing or not readable"
    for name, expected in hashes.items():
        file = path / name
        if not file.is_file():
            return f"{file}: missing"
        if _hash(file) != expected:
            return f"{file}: changed since it was written (its hash is not the manifest's)"
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that `find_problem` found sound."""
    trainer = json.loads((path / "trainer.json").read_text())
    shapes = trainer.pop("shards", None)
    if shapes is None:
        return Checkpoint(load_file(path / "model.safetensors"), load_file(path / "optimizer.safetensors"), trainer)
    return Checkpoint(_join(path, "model", shapes), _join(path, "optimizer", shapes), trainer)


def _join(path: Path, stem: str, shards: Mapping[str, Any]) -> dict[str, Tensor]:
    files = [f"{stem}.safetensors", *(f"{stem}-{part}.safetensors" for part in range(1, shards["parts"]))]
    return join_parts([load_file(path / file) for file in files], shards[stem])


def _parts(folder: Path, step: int) -> Path:
    return folder / f".{checkpoint_name(step)}.parts"


def _parts_of(trainer: Mapping[str, Any]) -> int:
    return int(trainer.get("shards", {}).get("parts", 1))


def optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Optimizer state as tensors named `parameter/key`."""
    state = {}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            state[f"{name}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return state


def restore_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` gave."""
    parameters = dict(module.named_parameters())
    for full, value in state.items():
        name, _, key = full.rpartition("/")
        parameter = parameters[name]
        if key == "step":  # which AdamW keeps on the CPU
            optimizer.state[parameter][key] = value.clone()
        else:
            # In the order in which the parameter lies in memory, as fused optimizers read both alike: channels-last weights.
            place = torch.empty_like(parameter, dtype=value.dtype)
            optimizer.state[parameter][key] = place.copy_(like(value.to(parameter.device), parameter)).detach()


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Clones, as safetensors refuses tied weights.
    return {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
