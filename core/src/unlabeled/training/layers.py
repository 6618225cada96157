"""What is done to each repeated layer of the encoders: compiled, recomputed in the backward pass, sharded."""

import torch
from torch import nn

from unlabeled.errors import UnlabeledError
from unlabeled.training.learner import Learner
from unlabeled_registry.errors import one_line


def repeated_layers(module: nn.Module) -> list[nn.Module]:
    """The outermost layers of which `module` has several of one class in a row: transformer layers, stages."""
    found: list[nn.Module] = []
    for child in module.children():
        members = list(child.children()) if isinstance(child, nn.ModuleList | nn.Sequential) else []
        if len({type(member) for member in members}) == 1 and any(True for _ in child.parameters()):
            found += members
        else:
            found += repeated_layers(child)
    return found


def compile_layers(learner: Learner, device: torch.device) -> None:
    """Compile each repeated layer in place: layers of one class share their code, names in the state stay as they are.

    `UnlabeledError` where an encoder has none, or where there is no compiler.
    """
    _check_compiler(device)
    # Adapters listen to layers by hooks, which a layer compiled without one would otherwise ignore.
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    for name, encoder in learner.encoders.items():
        layers = repeated_layers(encoder)
        if not layers:
            raise UnlabeledError(
                f"training.compile: the encoder {name} has no repeated layers that could be compiled; set it to false"
            )
        for layer in layers:
            # torch's own random numbers, so that dropout is that of the plain layer, and the same in both passes.
            layer.compile(options={"fallback_random": True})


def checkpoint_layers(learner: Learner) -> None:
    """Have each encoder recompute its layers in the backward pass (Chen et al., 2016, Training Deep Nets with Sublinear
    Memory Cost); `UnlabeledError` where one cannot.
    """
    for name in learner.encoders:
        try:
            learner.encoder(name).checkpoint_gradients()
        except NotImplementedError as error:
            raise UnlabeledError(
                f"training.gradient_checkpointing: {error} (modalities.{name}); set it to false, or choose another encoder"
            ) from None


def _check_compiler(device: torch.device) -> None:
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=device))
    except Exception as error:  # whatever stands in the compiler's way
        raise UnlabeledError(
            f"training.compile: torch cannot compile for {device.type} ({one_line(error)}); install a C++ compiler such as "
            "g++, or set it to false"
        ) from None
