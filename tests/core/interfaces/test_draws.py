"""Draws are the same in any batch, order, padding and shape."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unlabeled import Draws


def draws(ids: list[int], **keys: object) -> Draws:
    return Draws(**{"seed": 3, "epoch": 1, "ids": torch.tensor(ids), "encoder": "image", "role": "strong", **keys})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=30)
@given(ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=8, unique=True), size=st.integers(1, 20))
def test_a_row_draws_the_same_alone_and_in_any_batch(ids: list[int], size: int) -> None:
    together = draws(ids)("x").uniform(size, 3)
    backwards = draws(ids[::-1])("x").uniform(size, 3)
    assert torch.equal(together, backwards.flip(0))
    for row, id_ in enumerate(ids):
        assert torch.equal(together[row], draws([id_])("x").uniform(size, 3)[0])


def test_a_larger_shape_holds_the_smaller_as_prefix() -> None:
    stream = draws([5, 9])("x")
    assert torch.equal(stream.bits(7, 11)[:, :4, :6], stream.bits(4, 6))
    assert torch.equal(stream.normal(50)[:, :20], stream.normal(20))


def test_every_part_of_the_key_matters() -> None:
    base = draws([5])("x").bits(4)
    others = [
        draws([5], seed=4)("x"),
        draws([5], epoch=2)("x"),
        draws([6])("x"),
        draws([5], encoder="text")("x"),
        draws([5], role="weak")("x"),
        draws([5], view=1)("x"),
        draws([5])("y"),
        draws([5]).within("flip")("x"),
    ]
    for other in others:
        assert not torch.equal(base, other.bits(4))
    assert torch.equal(base, draws([5], step=7)("x").bits(4)), "a sample's draws do not depend on the step"


def test_shared_leaves_out_the_view_and_batch_leaves_out_the_rows() -> None:
    one, other = draws([5, 6]), draws([5, 6], view=1, role="weak", encoder="text")
    assert torch.equal(one.shared("x").bits(4), other.shared("x").bits(4))
    assert torch.equal(draws([1, 2], step=3).batch("x").bits(4), draws([7], step=3, epoch=9).batch("x").bits(4))
    assert not torch.equal(draws([1], step=3).batch("x").bits(4), draws([1], step=4).batch("x").bits(4))


def test_distributions() -> None:
    many = draws(list(range(2000)))
    uniform = many("u").uniform(50)
    assert 0 <= float(uniform.min())
    assert float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.005
    normal = many("n").normal(50)
    assert abs(float(normal.mean())) < 0.01
    assert abs(float(normal.std()) - 1) < 0.01
    integers = many("i").integers(2, 7, 50)
    counts = torch.bincount(integers.flatten(), minlength=7)
    assert counts[:2].sum() == 0
    assert float((counts[2:] / 20000 - 1).abs().max()) < 0.05
    assert abs(float(many("c").coin(0.3, 50).float().mean()) - 0.3) < 0.01


def test_neighbouring_ids_are_not_correlated() -> None:
    values = draws(list(range(4000)))("x").uniform(8)
    correlation = torch.corrcoef(torch.stack([values[:-1].flatten(), values[1:].flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.02


def test_permutation_keeps_padding_last() -> None:
    lengths = torch.tensor([3, 5, 1])
    order = draws([1, 2, 3])("p").permutation(lengths, 6)
    for row, length in enumerate(lengths.tolist()):
        assert sorted(order[row, :length].tolist()) == list(range(length))
        assert order[row, length:].tolist() == list(range(length, 6))


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5), extra=st.integers(0, 6), count=st.integers(0, 12))
def test_subset_does_not_depend_on_padding(lengths: list[int], extra: int, count: int) -> None:
    size = max(lengths)
    valid = torch.arange(size + extra) < torch.tensor(lengths).unsqueeze(1)
    ids = list(range(len(lengths)))
    wide = draws(ids)("s").subset(valid, count)
    assert wide.sum(1).tolist() == [min(count, length) for length in lengths]
    assert not bool((wide & ~valid).any())
    assert torch.equal(wide[:, :size], draws(ids)("s").subset(valid[:, :size], count))


def test_spans_against_a_plain_reference() -> None:
    lengths = torch.tensor([50, 30, 7, 100])
    stream = draws([1, 2, 3, 4])("spans")
    mask = stream.spans(lengths, 100, probability=0.65, span=10, minimum=2)
    for row, length in enumerate(lengths.tolist()):
        places = mask[row].nonzero().flatten().tolist()
        assert all(place < length for place in places)
        if length < 10:
            assert places == list(range(length))
            continue
        runs = "".join("1" if value else "0" for value in mask[row].tolist()).split("0")
        assert all(len(run) >= 10 for run in runs if run)
        spans = int(0.65 * length / 10) + 1
        assert 10 <= len(places) <= max(spans, 2) * 10
    alone = draws([2])("spans").spans(lengths[1:2], 30, probability=0.65, span=10, minimum=2)
    assert torch.equal(mask[1, :30], alone[0])


def test_choose_other_takes_other_true_places_of_the_same_row() -> None:
    mask = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    chosen = draws([1, 2, 3])("negatives").choose_other(mask, 200)
    for place in (0, 2, 3, 5):
        assert set(chosen[0, place].tolist()) == {0, 2, 3, 5} - {place}
    assert set(chosen[1, 1].tolist()) == {1}, "a lone place has no other"
    assert set(chosen[2, 0].tolist()) == {1}
    assert set(chosen[2, 1].tolist()) == {0}
    wider = torch.nn.functional.pad(mask, (0, 4))
    assert torch.equal(draws([1, 2, 3])("negatives").choose_other(wider, 200)[:, :6], chosen)


def test_known_values_never_change() -> None:
    # What a seed means is a promise: continuing an old run must draw what it drew.
    assert draws([0, 1])("x").bits(2).tolist() == EXPECTED


EXPECTED = [[-7621864333850216995, -8562150385620918023], [-5408048407281149992, 5344891941665317605]]
