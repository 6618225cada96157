"""The only communication of the platform: sums and gathers over processes, identity on one."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_AVAILABLE = dist.is_available()


def process_count() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if _AVAILABLE and dist.is_initialized() else 1


def process_index() -> int:
    """Number of this process."""
    return dist.get_rank() if _AVAILABLE and dist.is_initialized() else 0


def total(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, without gradient."""
    value = value.detach().clone()
    if process_count() > 1:
        dist.all_reduce(value)
    return value


def any_process(value: bool, device: torch.device) -> bool:
    """Whether the value is true on some process."""
    return value if process_count() == 1 else bool(total(torch.tensor(float(value), device=device)) > 0)


class _SumWithGradient(torch.autograd.Function):
    @staticmethod
    def forward(value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def setup_context(ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        # Every process's loss depends on every process's summand, so its gradient is the sum of theirs.
        return total(gradients[0])


def sum_with_gradient(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes; the gradient is summed likewise."""
    if process_count() == 1:
        return value
    result: Tensor = _SumWithGradient.apply(value)
    return result


def gather_rows(value: Tensor, rows: list[int]) -> Tensor:
    """(sum(rows), ...) the rows of all processes in order, without gradient; process r holds `rows[r]` of them."""
    if process_count() == 1:
        return value.detach()
    padded = value.new_zeros(max(rows), *value.shape[1:])
    padded[: len(value)] = value.detach()
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])


def gather_lines(lines: Sequence[str]) -> list[str]:
    """The lines of all processes in order; where none has any, one number from each is all that is exchanged."""
    return [line for text in _gather_texts("".join(f"{line}\n" for line in lines)) for line in text.splitlines()]


def share(value: Any) -> list[Any]:
    """What each process gave, in order; anything that JSON can hold."""
    return [json.loads(text) for text in _gather_texts(json.dumps(value))]


def _gather_texts(text: str) -> list[str]:
    if process_count() == 1:
        return [text]
    device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
    # Bytes, as torch's own gathering of objects pickles them.
    own = torch.tensor(list(text.encode()), dtype=torch.uint8, device=device)
    sizes: list[int] = gather_rows(torch.tensor([len(own)], device=device), [1] * process_count()).tolist()
    parts = gather_rows(own, sizes).split(sizes) if any(sizes) else [own] * len(sizes)
    return [bytes(part.tolist()).decode() for part in parts]


def first_of_node() -> bool:
    """Whether this is the first process of its machine."""
    return process_index() == 0 or os.environ.get("LOCAL_RANK", "0") == "0"


def wait_for_all() -> None:
    """Return when every process has come here."""
    if process_count() > 1:
        dist.barrier()


def join(index: int, count: int, meeting: Path) -> None:
    """Make this process number `index` of `count` on this machine, which meet through the file `meeting`, not there yet.

    Sets the variables that a launcher would, so that accelerate finds the group too.
    """
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    os.environ.update(zip(names, map(str, (index, index, count, count)), strict=True))
    dist.init_process_group("gloo", init_method=meeting.absolute().as_uri(), rank=index, world_size=count)


def leave() -> None:
    """Take this process out of its group, at the end of a command."""
    if process_count() > 1:
        dist.destroy_process_group()
