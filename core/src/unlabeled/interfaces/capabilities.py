"""The vocabulary in which objectives ask and encoders offer; it is the registry's, so that listing needs no torch."""

from unlabeled_registry.capabilities import CAPABILITIES

Capability = str

__all__ = ["CAPABILITIES", "Capability"]
