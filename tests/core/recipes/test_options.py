"""Options as a person writes them, whatever pydantic lets a plugin's author declare."""

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field

from unlabeled import Config
from unlabeled.recipes.options import Option, options_of


class Speed(Enum):
    SLOW = "slow"
    FAST = "fast"


class Linear(Config):
    """A straight line."""

    kind: Literal["linear"] = Field("linear", description="straight")
    slope: float = Field(description="rise over run")


class Power(Config):
    kind: Literal["power"] = Field("power", description="bent")
    exponent: int = Field(2, ge=1, description="of x")


class Node(Config):
    """A tree."""

    weight: float = Field(1.0, description="of this node")
    children: list["Node"] = Field(default_factory=list, description="below it")


def one(annotation: Any, field: Any) -> Option:
    model = type("Options", (Config,), {"__annotations__": {"x": annotation}, "x": field})
    found = options_of(model)
    return next(option for option in found if option.name == "x")


@pytest.mark.parametrize(
    ("annotation", "type_", "allowed"),
    [
        (float, "float", ""),
        (Annotated[float, Field(gt=0, lt=1)], "float", "above 0, below 1"),
        (Annotated[int, Field(ge=2, le=8, multiple_of=2)], "int", "2 to 8, a multiple of 2"),
        (Annotated[int, Field(lt=2**63)], "int", "below 9223372036854775808"),
        (Annotated[int, Field(ge=1)] | None, "int or null", "at least 1"),
        (bool, "bool", ""),
        (Literal["mean", "class"], "str", "mean, class"),
        (Literal[1, "auto"], "int or str", "1, auto"),
        (Speed, "str", "slow, fast"),
        (Speed | None, "str or null", "slow, fast"),
        (list[int], "list of int", ""),
        (Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2)], "list of int", "length at least 2, each above 0"),
        (tuple[float, float], "[float, float]", ""),
        (tuple[Annotated[float, Field(ge=0)], int], "[float, int]", "number 1: at least 0, number 2: any"),
        (tuple[Annotated[float, Field(ge=0)], Annotated[int, Field(ge=1)]], "[float, int]", "number 1: at least 0, number 2: at least 1"),
        (tuple[int, ...], "list of int", ""),
        (frozenset[str], "list of str", ""),
        (dict[str, float], "mapping to float", ""),
        (dict[str, Any], "mapping", ""),
        (Annotated[float, Field(ge=0)] | list[float], "float or list of float", "float: at least 0"),
        (Annotated[str, Field(pattern="^[a-z]+$", max_length=9)], "str", "like ^[a-z]+$, length at most 9"),
        (Annotated[float, AfterValidator(abs)], "float", ""),
        (Linear | Power, "mapping", ""),
        (list[Linear], "list of mapping", ""),
        (Callable[[int], int], "any", ""),  # JSON has no such thing, and the others are to be read all the same
    ],
)  # fmt: skip
def test_types_and_ranges(annotation: Any, type_: str, allowed: str) -> None:
    option = one(annotation, Field(description="x"))
    assert (option.type, option.allowed, option.required, option.description) == (type_, allowed, True, "x")


@pytest.mark.parametrize(
    ("field", "default"),
    [
        (Field(0.5), 0.5),
        (Field((1, 2)), [1, 2]),
        (Field(None), None),
        (Field(default_factory=lambda: [1]), [1]),
        (Field(Speed.FAST), "fast"),
        (Field(default_factory=lambda data: data), None),
    ],
)
def test_defaults_are_those_of_yaml(field: Any, default: Any) -> None:
    option = one(Any, field)
    assert (option.default, option.required) == (default, False)


def test_a_config_inside_a_config() -> None:
    class Options(Config):
        line: Linear = Field(Linear(slope=1), description="the line")
        many: list[Power] = Field(default_factory=list, description="several")
        named: dict[str, Power] = Field(default_factory=dict, description="by name")
        either: Linear | Power = Field(Power(), description="one of two", discriminator="kind")
        tree: Node = Field(Node(), description="of trees")

    found = {option.name: option for option in options_of(Options)}
    assert list(found) == [
        "line", "line.kind", "line.slope",
        "many", "many.0.kind", "many.0.exponent",
        "named", "named.NAME.kind", "named.NAME.exponent",
        "either", "either (Linear).kind", "either (Linear).slope", "either (Power).kind", "either (Power).exponent",
        "tree", "tree.weight", "tree.children",
    ]  # fmt: skip
    assert found["line"].description == "the line"
    assert found["line"].default == {"kind": "linear", "slope": 1.0}
    assert found["line.slope"].required
    assert found["either (Linear).kind"].allowed == "linear"
    assert found["many.0.exponent"].allowed == "at least 1"
