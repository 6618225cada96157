"""How a process joins its run: threads, device and group, as `accelerate launch` or torchrun set them up."""

import os

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs

from unlabeled.errors import UnlabeledError
from unlabeled.recipes.resolve import ResolvedRecipe


def start_accelerator(recipe: ResolvedRecipe) -> Accelerator:
    """The accelerator of this process, as `accelerate launch` or torchrun set it up."""
    training = recipe.recipe.training
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    if training.device == "cuda" and not torch.cuda.is_available():
        raise UnlabeledError(
            "training.device: cuda, but torch sees no GPU; `unlabeled env` shows why, or set training.device=cpu"
        )
    if (
        os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
        and "MASTER_ADDR" in os.environ
        and "WORLD_SIZE" not in os.environ
    ):
        raise UnlabeledError(
            "accelerate launch --cpu starts one process, however many were asked for; write "
            "accelerate launch --multi_gpu --num_processes N (works on CPU too), or torchrun --nproc-per-node N"
        )
    # accelerate keeps the first precision of a Python process for all later runs, and refuses another.
    AcceleratorState._reset_state()
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
    return Accelerator(
        mixed_precision="no",  # the step engine casts, so that losses stay outside
        cpu=training.device == "cpu" or not torch.cuda.is_available(),
        kwargs_handlers=[ddp],
    )
