"""Augmentations: transforms of views and choosers of tokens."""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel
from torch import Tensor

from unlabeled.interfaces.batch import Layout, View
from unlabeled.interfaces.draws import Draws
from unlabeled.interfaces.modality import Config


class Augmentation(ABC):
    """Base of Transform and Masking: options, no state."""

    Config: ClassVar[type[BaseModel]] = Config

    def __init__(self, config: BaseModel) -> None:
        self.config = config


class Transform(Augmentation):
    """A random change of each sample, on the whole batch at once and on its device."""

    @abstractmethod
    def __call__(self, view: View, draws: Draws) -> View:
        """The changed view; the given one stays as it is. Every row draws for itself, through `draws` alone."""


class Masking(Augmentation):
    """A random choice of tokens; what happens to the chosen ones is the objective's decision."""

    @abstractmethod
    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        """(B, N) bool, True where chosen; only `layout.maskable` tokens, and each row by its own length."""
