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
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlabeled.errors import UnlabeledError
from unlabeled.training.processes.distributed import process_index
from unlabeled.training.processes.sharding import join_parts, like, load_whole

_NAME = re.compile(r"step-(\d{8,})")
_UNFINISHED = re.compile(r"\.step-\d{8,}\.(partial|removed|parts)")
MANIFEST = "manifest.json"
MODEL = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
TRAINER = "trainer.json"


@dataclass(frozen=True)
class Checkpoint:
    """What continuing needs."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    """File name -> the tensors in it, by name; contiguous, on the CPU, no two in the same memory."""
    trainer: Mapping[str, Any]
    """What the trainer counts; its `step` is the checkpoint's. Where tensors are sharded, `shards` has the number of parts and,
    by file name, the whole shapes, and `tensors` are the first part.
    """


@dataclass(frozen=True)
class FoundCheckpoint:
    """The newest checkpoint that is sound."""

    path: Path
    checkpoint: Checkpoint
    passed_over: tuple[str, ...]
    """What is wrong with each newer one."""


def checkpoint_name(step: int) -> str:
    """`step-00001000`."""
    return f"step-{step:08d}"


def checkpoint_step(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint under `folder`, whole or not at all.

    `UnlabeledError` names the file that the disk refuses; what was there before stays as it was.
    """
    step = checkpoint.trainer["step"]
    final = folder / checkpoint_name(step)
    partial = folder / f".{final.name}.partial"
    file = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _delete(partial)
        partial.mkdir()
        hashes = {}
        for name, tensors in checkpoint.tensors.items():
            file = final / name
            save_file(dict(tensors), partial / name)
            hashes[name] = _finish(partial / name)
        for number in range(1, _part_count(checkpoint.trainer)):
            for name in [_part_name(each, number) for each in checkpoint.tensors]:
                file = final / name
                (_parts(folder, step) / name).rename(partial / name)
                hashes[name] = _finish(partial / name)
        file = final / TRAINER
        (partial / TRAINER).write_text(json.dumps(checkpoint.trainer, indent=1))
        hashes[TRAINER] = _finish(partial / TRAINER)
        file = final / MANIFEST
        (partial / MANIFEST).write_bytes(_manifest(hashes))
        _flush(partial / MANIFEST)
        file = final
        _flush(partial)
        _publish(partial, final)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _not_written(file, step, error) from None
    shutil.rmtree(_parts(folder, step), ignore_errors=True)
    return final


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint; one that is listed is never half there."""
    removed = path.with_name(f".{path.name}.removed")
    try:
        _delete(removed)
        path.rename(removed)
        _delete(removed)
    except OSError as error:
        raise UnlabeledError(
            f"{path}: this old checkpoint cannot be removed ({error.strerror}); unlock the disk and start again, "
            "newer checkpoints are intact"
        ) from None


def clean_checkpoints(folder: Path) -> None:
    """Remove what a kill left behind of checkpoints that were being written or removed."""
    if folder.is_dir():
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                _delete(path)


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=checkpoint_step)


def find_newest(folder: Path) -> FoundCheckpoint | None:
    """The newest sound checkpoint; None where there is none at all; `UnlabeledError` where there are and none is sound."""
    problems: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return FoundCheckpoint(path, load_checkpoint(path), tuple(problems))
        except UnlabeledError as error:
            problems += error.problems
    if problems:
        raise UnlabeledError(*(f"{problem}; restore it, or remove {folder} to train anew" for problem in problems))
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; `UnlabeledError` names the file that is missing, was changed or is not what its name says."""
    if path.is_symlink() or not path.is_dir():
        raise UnlabeledError(f"{path}: not a folder")
    hashes = _read_manifest(path)
    for name, expected in hashes.items():
        if _hash(_own_file(path, name)) != expected:
            raise UnlabeledError(f"{path / name}: changed since it was written (its hash is not the manifest's)")
    tensors = {}
    for name in hashes:
        if name != TRAINER:
            try:
                tensors[name] = load_file(path / name)
            except (SafetensorError, OSError) as error:
                raise UnlabeledError(f"{path / name}: not a safetensors file ({error})") from None
    try:
        trainer = json.loads((path / TRAINER).read_bytes())
        step = trainer["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnlabeledError(f"{path / TRAINER}: not what a trainer writes") from None
    if step != checkpoint_step(path):
        raise UnlabeledError(f"{path / TRAINER}: of step {step}, so not of this checkpoint")
    shards = trainer.pop("shards", None)
    return Checkpoint(tensors if shards is None else _join(path, tensors, shards), trainer)


def restore_module(module: nn.Module, found: FoundCheckpoint) -> None:
    """Put a checkpoint's weights and buffers into a module; `UnlabeledError` where they are of another."""
    try:
        load_whole(module, found.checkpoint.tensors[MODEL])
    except RuntimeError as error:
        raise _of_another(found.path / MODEL, error) from None


def write_part(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write this process's part of a sharded checkpoint to where `write_checkpoint` takes it from; the first one's is its own."""
    parts, number = _parts(folder, step), process_index()
    if number == 0:
        return
    path = parts
    try:
        parts.mkdir(parents=True, exist_ok=True)
        for name, named in tensors.items():
            path = parts / _part_name(name, number)
            # Clones, as safetensors refuses tied weights.
            save_file({key: value.detach().cpu().clone().contiguous() for key, value in named.items()}, path)
            _flush(path)
    except (OSError, SafetensorError) as error:
        raise _not_written(path, step, error) from None


def _not_written(file: Path, step: int, error: OSError | SafetensorError) -> UnlabeledError:
    reason = error.strerror if isinstance(error, OSError) else error
    return UnlabeledError(
        f"{file}: cannot be written ({reason}); the checkpoint of step {step} is not saved, earlier ones are intact: "
        "free or unlock the disk, and the same command continues from the newest"
    )


def _join(
    path: Path, tensors: Mapping[str, Mapping[str, Tensor]], shards: Mapping[str, Any]
) -> dict[str, dict[str, Tensor]]:
    joined = {}
    for name in (MODEL, OPTIMIZER):
        try:
            files = [_part_name(name, number) for number in range(shards["parts"])]
            joined[name] = join_parts([tensors[file] for file in files], shards[name])
        except (ValueError, KeyError, TypeError) as error:
            raise UnlabeledError(f"{path / name}: its parts do not fit together ({error})") from None
    return joined


def _part_name(name: str, number: int) -> str:
    return name if number == 0 else name.replace(".", f"-{number}.")


def _part_count(trainer: Mapping[str, Any]) -> int:
    return int(trainer.get("shards", {}).get("parts", 1))


def _parts(folder: Path, step: int) -> Path:
    return folder / f".{checkpoint_name(step)}.parts"


def optimizer_state(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Optimizer state as tensors named `parameter/key`."""
    state = {}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            state[f"{name}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return state


def restore_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, found: FoundCheckpoint) -> None:
    """Put back what `optimizer_state` gave; `UnlabeledError` where it is of another model."""
    parameters = dict(module.named_parameters())
    for full, value in found.checkpoint.tensors[OPTIMIZER].items():
        name, _, key = full.rpartition("/")
        if name not in parameters or (value.ndim and value.shape != parameters[name].shape):
            raise _of_another(found.path / OPTIMIZER, f"{full} {tuple(value.shape)}")
        if value.ndim == 0:
            place = value.to(parameters[name].device)  # where fused optimizers keep their step count
        else:
            # In the parameter's own memory layout: fused kernels pair elements by their place in memory.
            place = torch.empty_like(parameters[name], dtype=value.dtype, requires_grad=False)
            place.copy_(like(value.to(place.device), parameters[name]))
        optimizer.state[parameters[name]][key] = place


def _of_another(file: Path, reason: object) -> UnlabeledError:
    detail = " ".join(str(reason).split())
    return UnlabeledError(f"{file}: of another model ({detail[:200]}); remove its folder, or give another --run")


def _read_manifest(folder: Path) -> dict[str, str]:
    """File name -> sha256."""
    path = _own_file(folder, MANIFEST)
    try:
        content = path.read_bytes()
        hashes = dict(json.loads(content)["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UnlabeledError(f"{path}: not readable") from None
    # A manifest is exactly what would be written for its files, so that any other byte shows.
    if content != _manifest(hashes):
        raise UnlabeledError(f"{path}: changed since it was written (its own hash does not fit)")
    outside = [name for name in hashes if Path(name).name != name]
    if outside:
        raise UnlabeledError(f"{path}: names {outside[0]!r}, which is not in its folder")
    absent = [name for name in (MODEL, OPTIMIZER, TRAINER) if name not in hashes]
    if absent:
        raise UnlabeledError(f"{path}: lists no {', '.join(absent)}")
    return hashes


def _manifest(hashes: Mapping[str, str]) -> bytes:
    """What manifest.json holds: the hash of every other file, and the hash of these."""
    own = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    return json.dumps({"files": hashes, "sha256": own}, indent=1).encode()


def _own_file(folder: Path, name: str) -> Path:
    """The file of this name; `UnlabeledError` where there is none or something else, such as a link."""
    path = folder / name
    if path.is_symlink():
        raise UnlabeledError(f"{path}: a symbolic link, not a file")
    if not path.is_file():
        raise UnlabeledError(f"{path}: missing")
    return path


def _publish(partial: Path, final: Path) -> None:
    if final.is_symlink() or final.exists():  # a damaged one, passed over and now trained again
        remove_checkpoint(final)
    partial.rename(final)
    _flush(final.parent)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _finish(path: Path) -> str:
    """Bring a file to the disk; its hash."""
    _flush(path)
    return _hash(path)


def _hash(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnlabeledError(f"{path}: cannot be read ({error.strerror})") from None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
