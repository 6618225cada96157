"""unlabeled: pretrain encoders on data without labels, any modality, any self-supervised method."""

from importlib import import_module
from typing import Any

from unlabeled_registry.deprecation import check_name

__version__ = "0.1.0"

_HOMES = {
    "unlabeled.interfaces.batch": ("Batch", "Encoded", "Layout", "Tokens", "View"),
    "unlabeled.interfaces.draws": ("Draws", "Stream"),
    "unlabeled.interfaces.modality": ("ComponentSpec", "Config", "Modality", "Sample"),
    "unlabeled.interfaces.augmentation": ("Augmentation", "Masking", "Transform"),
    "unlabeled.interfaces.encoder": ("Encoder", "gather_tokens"),
    "unlabeled.interfaces.objective": ("Context", "Facts", "Loss", "Objective", "ViewSpec", "own_rows", "present_rows"),
    "unlabeled.interfaces.evaluator": ("Evaluation", "EvaluationContext", "EvaluationData", "Evaluator", "Subject"),
    "unlabeled.interfaces.source": ("Row", "Source"),
    "unlabeled.interfaces.capabilities": ("CAPABILITIES", "Capability"),
    "unlabeled.training.normalization": ("BatchNorm",),
    "unlabeled.errors": ("Stopped", "UnlabeledError"),
    "unlabeled.runs.api": ("evaluate", "export", "load", "train"),
    "unlabeled.runs.run": ("Run",),
    "unlabeled_registry.hooks": ("hookimpl",),
}
_NAMES = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_NAMES)]


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in when it is first used, so that listing commands never import torch."""
    check_name(name)
    if name not in _NAMES:
        raise AttributeError(f"module 'unlabeled' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
