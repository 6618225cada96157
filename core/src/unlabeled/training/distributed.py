"""The only communication of the platform: sums and gathers over processes, identity on one."""

import torch
import torch.distributed as dist
from torch import Tensor


def process_count() -> int:
    """Number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_index() -> int:
    """Number of this process."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


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


def wait_for_all() -> None:
    """Return when every process has come here."""
    if process_count() > 1:
        dist.barrier()


def leave() -> None:
    """Take this process out of its group, at the end of a command."""
    if process_count() > 1:
        dist.destroy_process_group()
