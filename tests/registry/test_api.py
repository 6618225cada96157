import pytest

from unlabeled_registry.api import API_VERSION, satisfies


@pytest.mark.parametrize("wanted", [">=1.0,<2", ">=1", "==1.0", "==1", "!=1.1", "<=1.0.0", "> 0.9 , < 1.10", "<1.0.1"])
def test_ranges_that_hold_one_point_zero(wanted: str) -> None:
    assert satisfies("1.0", wanted)


@pytest.mark.parametrize("wanted", [">=1.1", "<1", "!=1", ">1.0", ">=2,<3", "==1.0.1"])
def test_ranges_that_do_not_hold_one_point_zero(wanted: str) -> None:
    assert not satisfies("1.0", wanted)


def test_numbers_are_compared_as_numbers() -> None:
    assert satisfies("1.10", ">1.9")
    assert satisfies("10", ">=2")


@pytest.mark.parametrize("wanted", ["", "1.0", "~=1.0", ">=1.0,", ">=one", ">=1.0 <2"])
def test_unreadable_ranges(wanted: str) -> None:
    with pytest.raises(ValueError, match=r"is no range such as '>=1.0,<2'"):
        satisfies(API_VERSION, wanted)
