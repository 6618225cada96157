"""FSDP2: weights, gradients and optimizer state shared out by rows over the processes, and put together again."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from unlabeled.errors import UnlabeledError
from unlabeled.interfaces.encoder import Encoder
from unlabeled.training.layers import repeated_layers
from unlabeled.training.learner import Learner
from unlabeled.training.processes.distributed import process_count, process_index

Shapes = dict[str, list[int]]
"""Name -> whole shape of each tensor that is shared out."""


def sharding_plan() -> FullyShardedDataParallelPlugin | None:
    """What `accelerate launch --use_fsdp` asked for, or None; `UnlabeledError` where it is not FSDP2."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() != "true" or process_count() == 1:
        return None
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise UnlabeledError("accelerate: FSDP of version 1 is not supported; write --use_fsdp --fsdp_version 2")
    plan = FullyShardedDataParallelPlugin()
    if os.environ.get("FSDP_OFFLOAD_PARAMS", "").lower() == "true":
        raise UnlabeledError("accelerate: --fsdp_offload_params is not supported; leave it out")
    return plan


def shard_learner(learner: Learner, device: torch.device, plan: FullyShardedDataParallelPlugin) -> None:
    """Share out each repeated layer of every encoder, teachers among them, and the rest as one, in place.

    A layer is gathered when it is called. The rest stays whole from `represent` to the end of the backward pass, so that
    `head` and `loss` see ordinary parameters.
    """
    scalars = [name for name, parameter in learner.named_parameters() if parameter.ndim == 0]
    if scalars:
        raise UnlabeledError(f"{scalars[0]}: a parameter without dimension cannot be sharded; give it the shape (1,)")
    for parameter in learner.parameters():
        parameter.data = parameter.data.contiguous()  # rows cannot be cut from channels-last weights
    mesh = init_device_mesh(device.type, (process_count(),))
    for encoder in [module for module in learner.modules() if isinstance(module, Encoder)]:
        for layer in repeated_layers(encoder):
            fully_shard(layer, mesh=mesh, reshard_after_forward=bool(plan.reshard_after_forward))
    fully_shard(learner, mesh=mesh)


def is_sharded(module: nn.Module) -> bool:
    """Whether `shard_learner` was here."""
    return isinstance(module, FSDPModule)


@contextmanager
def no_sync(model: nn.Module, accelerator: Accelerator) -> Iterator[None]:
    """While it lasts, gradients stay on this process, under DDP and FSDP2 alike."""
    if not isinstance(model, FSDPModule):
        with accelerator.no_sync(model):
            yield
        return
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def whole(value: Tensor) -> Tensor:
    """A tensor with the rows of all processes; they must ask for it together."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(value: Tensor, target: Tensor) -> Tensor:
    """A tensor that every process holds whole, shared out as `target` is."""
    if not isinstance(target, DTensor):
        return value
    return distribute_tensor(value, target.device_mesh, target.placements, src_data_rank=None)


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """Every tensor of the state, whole, on the CPU; all processes must ask for it together."""
    return {name: whole(value).detach().cpu() for name, value in module.state_dict().items()}


def load_whole(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put whole tensors into a module, sharded or not; of a sharded one each process takes its rows."""
    own = module.state_dict()
    module.load_state_dict(
        {name: like(value.to(own[name].device), own[name]) if name in own else value for name, value in state.items()}
    )


def cut_parts(states: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Of each named state the rows of this process, and what a checkpoint must know to join them again: nothing where they
    are whole. What is not shared out is the first process's.
    """
    shapes: dict[str, Shapes] = {
        key: {name: list(value.shape) for name, value in state.items() if isinstance(value, DTensor)}
        for key, state in states.items()
    }
    parts = {
        key: {
            name: value.to_local() if isinstance(value, DTensor) else value
            for name, value in state.items()
            if isinstance(value, DTensor) or process_index() == 0
        }
        for key, state in states.items()
    }
    return parts, {"shards": {"parts": process_count(), **shapes}} if any(shapes.values()) else {}


def join_parts(parts: Sequence[Mapping[str, Tensor]], shapes: Shapes) -> dict[str, Tensor]:
    """The whole state from the part of every process, in their order; `ValueError` where rows are missing."""
    joined = dict(parts[0])
    for name, shape in shapes.items():
        joined[name] = torch.cat([part[name] for part in parts])
        if list(joined[name].shape) != shape:
            raise ValueError(f"{name} has the shape {tuple(joined[name].shape)}, not {tuple(shape)}")
    return joined
