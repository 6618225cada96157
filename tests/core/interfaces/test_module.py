"""A part under a method's name is refused where it is given, and not found missing where it is used."""

from typing import Any

import pytest
from torch import nn

from unlabeled import Encoded, Encoder, Facts, Loss, Objective, Tokens


class Plain(Encoder):
    def __init__(self, name: str, part: Any) -> None:
        nn.Module.__init__(self)
        setattr(self, name, part)

    def embed(self, batch: Any) -> Tokens:
        raise NotImplementedError

    def encode(self, tokens: Tokens, **_: Any) -> Encoded:
        raise NotImplementedError


class Predict(Objective):
    def __init__(self, name: str) -> None:
        super().__init__(Objective.Config(), {}, Facts(1, 1, 1, 1.0))
        setattr(self, name, nn.Linear(2, 2))

    def represent(self, *_: Any) -> Any:
        raise NotImplementedError

    def loss(self, *_: Any) -> Loss:
        raise NotImplementedError


@pytest.mark.parametrize("name", ["head", "embed", "loss"])
def test_of_an_objective(name: str) -> None:
    with pytest.raises(
        AttributeError, match=f"Predict.{name} is a method, which would hide the Linear of that name; rename"
    ):
        Predict(name)
    assert isinstance(Predict("predictor").predictor, nn.Linear)


@pytest.mark.parametrize("name", ["pool", "embed", "layout", "patches"])
@pytest.mark.parametrize("part", [nn.Linear(2, 2), nn.Parameter(nn.Linear(2, 2).weight)])
def test_of_an_encoder(name: str, part: Any) -> None:
    with pytest.raises(
        AttributeError, match=f"Plain.{name} is a method, which would hide the (Linear|Parameter) of that"
    ):
        Plain(name, part)
    assert Plain("layer", part).layer is part
