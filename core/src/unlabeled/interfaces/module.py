"""What encoders and objectives have in common: modules whose parts bear no method's name."""

from typing import Any

from torch import Tensor, nn


class Module(nn.Module):
    """A module that refuses a part under the name of a method.

    torch keeps parts aside and looks there last, so `self.head = nn.Linear(...)` in an objective would leave `self.head` the
    method that every objective has.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """`AttributeError` where a layer, parameter or buffer would be hidden by a method."""
        if isinstance(value, nn.Module | Tensor) and callable(getattr(type(self), name, None)):
            raise AttributeError(
                f"{type(self).__name__}.{name} is a method, which would hide the {type(value).__name__} of that name; rename it"
            )
        super().__setattr__(name, value)
