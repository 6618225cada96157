"""Batch normalisation over all rows of a step, whatever the number of processes, on any device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as TorchBatchNorm

from unlabeled.errors import UnlabeledError
from unlabeled.training.processes.distributed import process_count, sum_with_gradient


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy, 2015, algorithm 1) with statistics of all processes.

    Takes (R, C) or (R, C, *dims) and normalises each of the C channels over the rows of all processes and all dims. The
    running statistics (variance unbiased) change only when the trainer calls `settle` after an optimizer step that was
    taken, so that neither a repeated pass nor a skipped step counts. Without `affine` there are no scale and shift.
    Names and shapes of the state are those of torch's BatchNorm, so that either reads the other's.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, affine: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.momentum, self.eps = momentum, eps
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.pending: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def convert(cls, module: nn.Module) -> None:
        """Put a BatchNorm, newly initialised, in place of each of torch's within `module`, under the same name."""
        for name, child in list(module.named_modules()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                own = cls(child.num_features, affine=child.affine, momentum=child.momentum or 0.1, eps=child.eps)
                module.set_submodule(name, own)

    def forward(self, values: Tensor) -> Tensor:
        """(R, C, *dims) normalised; in evaluation mode by the running statistics."""
        if self.training and process_count() == 1 and len(values) > 0:
            return self._fused(values)
        shape = [1, -1] + [1] * (values.ndim - 2)
        if self.training:
            mean, variance = self._batch_statistics(values)
        else:
            mean, variance = self.running_mean.to(values.dtype), self.running_var.to(values.dtype)
        scale = torch.rsqrt(variance + self.eps)
        if self.weight is not None and self.bias is not None:
            scale = scale * self.weight
            return values * scale.reshape(shape) + (self.bias - mean * scale).reshape(shape)
        return (values - mean.reshape(shape)) * scale.reshape(shape)

    def _fused(self, values: Tensor) -> Tensor:
        """The same on one process in one pass of torch's own kernel: a ResNet trains a third faster on a CPU."""
        # With a momentum of 1 the kernel leaves the batch's own mean and unbiased variance where it keeps running ones.
        mean, variance = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        normalised, _, _ = torch.native_batch_norm(values, self.weight, self.bias, mean, variance, True, 1.0, self.eps)
        if torch.is_grad_enabled():
            self.pending.append((mean, variance))
        return normalised

    def _batch_statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        axes = [axis for axis in range(values.ndim) if axis != 1]
        wide = values.to(torch.promote_types(values.dtype, torch.float32))
        count = wide.new_full((1,), wide.numel() / wide.shape[1])
        # Two sums, the second about the global mean: a difference of large squares would lose digits.
        total = sum_with_gradient(torch.cat([wide.sum(axes), count]))
        count = total[-1].detach().clamp(min=1)
        mean = total[:-1] / count
        centred = wide - mean.reshape([1, -1] + [1] * (wide.ndim - 2))
        variance = sum_with_gradient(centred.square().sum(axes)) / count
        # Where no process has a row (all cells are missing), there is nothing to remember.
        if torch.is_grad_enabled() and (len(values) > 0 or bool(total[-1] > 0)):
            unbiased = variance.detach() * count / (count - 1).clamp(min=1)
            self.pending.append((mean.detach(), unbiased))
        return mean.to(values.dtype), variance.to(values.dtype)


def settle(normalizations: Sequence[BatchNorm], *, taken: bool) -> None:
    """Move the running statistics by what the step's passes with gradient saw, or forget it where no step was taken."""
    if taken:
        for momentum in {each.momentum for each in normalizations}:
            _commit([each for each in normalizations if each.momentum == momentum], momentum)
    for each in normalizations:
        each.pending.clear()


def _commit(normalizations: Sequence[BatchNorm], momentum: float) -> None:
    # All layers at once: a layer at a time costs as much as a small model's step.
    for number in range(max(len(each.pending) for each in normalizations)):
        due = [each for each in normalizations if len(each.pending) > number]
        running = [each.running_mean for each in due] + [each.running_var for each in due]
        seen = [each.pending[number][0] for each in due] + [each.pending[number][1] for each in due]
        wide = [value.to(known.dtype) for known, value in zip(running, seen, strict=True)]
        torch._foreach_lerp_(running, wide, momentum)
        torch._foreach_add_([each.num_batches_tracked for each in due], 1)


def check_normalization(learner: nn.Module, micro_batches: int) -> None:
    """`UnlabeledError` where batch normalisation would not see the whole batch: the result would depend on its parts.

    learner: with its encoders under `encoders`. An encoder runs on one micro-batch at a time, an objective's `head` does not;
    layers that stay in evaluation mode normalise over no batch.
    """
    problems = []
    for name, child in learner.train().named_modules():
        if not child.training:
            continue
        if isinstance(child, TorchBatchNorm) and (process_count() > 1 or micro_batches > 1):
            problems.append(
                f"{name}: torch's {type(child).__name__} sees the rows of one process and micro-batch alone; its plugin must use "
                "unlabeled.BatchNorm, or call unlabeled.BatchNorm.convert; until then train on one process in one micro-batch"
            )
        if isinstance(child, BatchNorm) and name.startswith("encoders.") and micro_batches > 1:
            encoder = name.split(".")[1]
            problems.append(
                f"training.micro_batches: {micro_batches}, but encoder {encoder} has batch normalisation, which would see one "
                "micro-batch alone; set training.micro_batches=1, use more processes, or choose an encoder without it"
            )
    if problems:
        raise UnlabeledError(*dict.fromkeys(problems))
