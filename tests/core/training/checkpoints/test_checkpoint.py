"""Checkpoints are whole or not there; a damaged or planted file is named."""

import hashlib
import json
import os
import resource
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from unlabeled import UnlabeledError
from unlabeled.training.checkpoints import checkpoint as module
from unlabeled.training.checkpoints.checkpoint import (
    MODEL,
    OPTIMIZER,
    Checkpoint,
    FoundCheckpoint,
    checkpoint_step,
    clean_checkpoints,
    find_newest,
    list_checkpoints,
    load_checkpoint,
    optimizer_state,
    remove_checkpoint,
    restore_optimizer,
    write_checkpoint,
)

FILES = ("model.safetensors", "optimizer.safetensors", "trainer.json", "manifest.json")


def checkpoint(step: int, size: int = 3) -> Checkpoint:
    tensors = {MODEL: {"weight": torch.full((size,), float(step))}, OPTIMIZER: {"weight/exp_avg": torch.zeros(3)}}
    return Checkpoint(tensors, {"step": step})


def newest(folder: Path) -> FoundCheckpoint:
    found = find_newest(folder)
    assert found is not None
    return found


def test_saved_and_loaded_are_equal_and_nothing_else_is_left(tmp_path: Path) -> None:
    for step in (1, 300, 20):
        write_checkpoint(tmp_path, checkpoint(step))
    assert [checkpoint_step(path) for path in list_checkpoints(tmp_path)] == [1, 20, 300]
    found = newest(tmp_path)
    assert found.path.name == "step-00000300"
    assert torch.equal(found.checkpoint.tensors[MODEL]["weight"], torch.full((3,), 300.0))
    assert found.checkpoint.trainer == {"step": 300}
    assert found.passed_over == ()
    assert {path.name for path in found.path.iterdir()} == set(FILES)
    remove_checkpoint(found.path)
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000001", "step-00000020"}


def test_there_may_be_no_checkpoint(tmp_path: Path) -> None:
    assert find_newest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_named_and_the_one_before_is_used(tmp_path: Path, file: str, damage: str) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    target = write_checkpoint(tmp_path, checkpoint(2)) / file
    content = bytearray(target.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        target.write_bytes(content)
    elif damage == "truncate":
        target.write_bytes(content[:-1])
    else:
        target.unlink()
    found = newest(tmp_path)
    assert found.path.name == "step-00000001"
    (problem,) = found.passed_over
    assert problem.startswith(f"{target}: {'missing' if damage == 'remove' else ''}")


def test_every_byte_of_every_file_counts(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, checkpoint(1))
    for file in FILES:
        target = path / file
        content = target.read_bytes()
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= 1 << (place % 8)
            target.write_bytes(changed)
            with pytest.raises(UnlabeledError, match=rf"step-00000001/{file}: \w"):
                load_checkpoint(path)
        # Other line ends mean the same to JSON, and are another file all the same.
        target.write_bytes(content.replace(b"\n", b"\r") + b"\r" * (b"\n" not in content))
        with pytest.raises(UnlabeledError, match=file):
            load_checkpoint(path)
        target.write_bytes(content)
    load_checkpoint(path)


def plant(path: Path, file: str, content: bytes) -> None:
    """Another content, with a manifest that fits it."""
    (path / file).write_bytes(content)
    forge(path, {name.name: hashlib.sha256(name.read_bytes()).hexdigest() for name in path.iterdir() if name.name != "manifest.json"})  # fmt: skip


def forge(path: Path, hashes: dict[str, str]) -> None:
    (path / "manifest.json").write_bytes(module._manifest(hashes))


def a_pickle(path: Path) -> None:
    # Protocol 0 for os.system("touch executed"): what unpickling would run.
    plant(path, MODEL, f"cos\nsystem\n(S'touch {path.parent / 'executed'}'\ntR.".encode())


def a_huge_header(path: Path) -> None:
    plant(path, MODEL, struct.pack("<Q", 2**60) + b"{}")


def offsets_outside(path: Path) -> None:
    header = json.dumps({"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**40]}}).encode()
    plant(path, MODEL, struct.pack("<Q", len(header)) + header)


def a_parent_in_a_name(path: Path) -> None:
    forge(path, {MODEL: "", OPTIMIZER: "", "trainer.json": "", "../../secret": ""})


def an_absolute_name(path: Path) -> None:
    forge(path, {"/etc/passwd": "", MODEL: "", OPTIMIZER: "", "trainer.json": ""})


def a_link(path: Path) -> None:
    (path / MODEL).rename(path.parent / "elsewhere")
    (path / MODEL).symlink_to(path.parent / "elsewhere")


def a_linked_folder(path: Path) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


def a_pipe(path: Path) -> None:
    (path / MODEL).unlink()
    os.mkfifo(path / MODEL)  # reading it would wait for ever


def deep_json(path: Path) -> None:
    (path / "manifest.json").write_text("[" * 100_000)


def a_list(path: Path) -> None:
    (path / "manifest.json").write_text('{"files": ["model.safetensors"]}')


def deep_trainer(path: Path) -> None:
    plant(path, "trainer.json", b"[" * 100_000)


def another_step(path: Path) -> None:
    plant(path, "trainer.json", b'{"step": 7}')


def too_few_files(path: Path) -> None:
    forge(path, {MODEL: hashlib.sha256((path / MODEL).read_bytes()).hexdigest()})


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (a_pickle, "model.safetensors: not a safetensors file"),
        (a_huge_header, "model.safetensors: not a safetensors file"),
        (offsets_outside, "model.safetensors: not a safetensors file"),
        (a_parent_in_a_name, "manifest.json: names '../../secret', which is not in its folder"),
        (an_absolute_name, "manifest.json: names '/etc/passwd', which is not in its folder"),
        (a_link, "model.safetensors: a symbolic link, not a file"),
        (a_linked_folder, "step-00000001: not a folder"),
        (a_pipe, "model.safetensors: missing"),
        (deep_json, "manifest.json: not readable"),
        (a_list, "manifest.json: not readable"),
        (deep_trainer, "trainer.json: not what a trainer writes"),
        (another_step, "trainer.json: of step 7, so not of this checkpoint"),
        (too_few_files, "manifest.json: lists no optimizer.safetensors, trainer.json"),
    ],
)
def test_a_planted_checkpoint_is_refused_in_one_line(
    tmp_path: Path, attack: Callable[[Path], None], message: str
) -> None:
    path = write_checkpoint(tmp_path, checkpoint(1))
    attack(path)
    with pytest.raises(UnlabeledError) as error:
        find_newest(tmp_path)
    (problem,) = error.value.problems
    assert message in problem
    assert problem.endswith(f"restore it, or remove {tmp_path} to train anew")
    assert "\n" not in problem
    assert not (tmp_path / "executed").exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """The system refuses files of more than 64 KiB: a real error at a real write, for root too."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_takes_no_more_leaves_the_previous_one(tmp_path: Path, small_files: None) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    with pytest.raises(
        UnlabeledError, match=r"step-00000002/model.safetensors: cannot be written \(.*File too large.*the checkpoint "
        "of step 2 is not saved, earlier ones are intact"
    ):  # fmt: skip
        write_checkpoint(tmp_path, checkpoint(2, size=2**20))
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000001"}
    assert newest(tmp_path).passed_over == ()


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "trainer.json", "manifest.json", ""])
def test_the_file_that_the_disk_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    flush = module._flush

    def full(path: Path) -> None:
        if path.name == (file or ".step-00000002.partial"):
            raise OSError(28, "No space left on device")
        flush(path)

    monkeypatch.setattr(module, "_flush", full)
    with pytest.raises(UnlabeledError) as error:
        write_checkpoint(tmp_path, checkpoint(2))
    assert str(error.value).startswith(
        f"{tmp_path / 'step-00000002' / file}: cannot be written (No space left on device)"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000001"}
    assert newest(tmp_path).passed_over == ()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnlabeledError, match=r"file: cannot be written \(File exists\)"):
        write_checkpoint(tmp_path / "file", checkpoint(1))

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(UnlabeledError, match=r"cannot be written \(Read-only file system\)"):
        write_checkpoint(tmp_path, checkpoint(1))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into a read-only folder")
def test_a_read_only_folder_leaves_the_previous_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    tmp_path.chmod(0o500)
    with pytest.raises(UnlabeledError, match=r"cannot be written \(Permission denied\)"):
        write_checkpoint(tmp_path, checkpoint(2))
    tmp_path.chmod(0o700)
    assert newest(tmp_path).path.name == "step-00000001"


def test_an_old_one_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_checkpoint(tmp_path, checkpoint(1))

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(UnlabeledError, match=r"step-00000001: this old checkpoint cannot be removed \(Read-only file"):
        remove_checkpoint(path)


def test_a_damaged_one_is_replaced_when_training_comes_there_again(tmp_path: Path) -> None:
    (write_checkpoint(tmp_path, checkpoint(2)) / MODEL).unlink()
    write_checkpoint(tmp_path, checkpoint(2))
    assert newest(tmp_path).checkpoint.trainer == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]


def test_what_a_kill_left_is_cleaned_and_nothing_else(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    for name in (".step-00000002.partial", ".step-00000000.removed", "mine", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    clean_checkpoints(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000001", "mine", ".hidden"}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_optimizer_goes_on_exactly(tmp_path: Path, layout: torch.memory_format) -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Conv2d(4, 3, 3).to(memory_format=layout)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        optimizer.zero_grad()
        values = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(number))
        model(values.to(memory_format=layout)).square().sum().backward()
        optimizer.step()

    whole, whole_optimizer = build()
    for number in (1, 2, 3):
        step(whole, whole_optimizer, number)
    first, first_optimizer = build()
    step(first, first_optimizer, 1)
    state = {MODEL: first.state_dict(), OPTIMIZER: optimizer_state(first_optimizer, first)}
    contiguous = {file: {name: value.contiguous() for name, value in named.items()} for file, named in state.items()}
    write_checkpoint(tmp_path, Checkpoint(contiguous, {"step": 1}))
    second, second_optimizer = build()
    module.restore_module(second, newest(tmp_path))
    restore_optimizer(second_optimizer, second, newest(tmp_path))
    for number in (2, 3):
        step(second, second_optimizer, number)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, checkpoint(1))
    found = newest(tmp_path)
    other = nn.Linear(5, 7, bias=False)
    with pytest.raises(UnlabeledError, match=r"model.safetensors: of another model \(.*size mismatch for weight"):
        module.restore_module(other, found)
    with pytest.raises(UnlabeledError, match=r"optimizer.safetensors: of another model \(weight/exp_avg \(3,\)\)"):
        restore_optimizer(torch.optim.AdamW(other.parameters()), other, found)
