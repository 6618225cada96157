"""Masked language modelling against its definition."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from unlabeled import Context, Facts, View
from unlabeled.testing import check_objective, make_draws, take_step
from unlabeled_standard.maskings import RandomMasking, RandomMaskingConfig
from unlabeled_text.encoders.bert import Bert
from unlabeled_text.modality import Text
from unlabeled_text.objectives.masked_language_modelling import (
    MaskedLanguageModelling,
    MaskedLanguageModellingConfig,
)

FACTS = Facts(samples=10, batch_size=5, steps=100, epochs=1.0)


def objective_of(bert: Bert, **options: Any) -> MaskedLanguageModelling:
    return MaskedLanguageModelling(MaskedLanguageModellingConfig(**options), {"text": bert}, FACTS)


def masked(bert: Bert, view: View, ratio: float = 0.3) -> View:
    masking = RandomMasking(RandomMaskingConfig(ratio=ratio))
    return replace(view, masks={"mask": masking(bert.layout(view), make_draws(view))})


@pytest.fixture
def view(bert: Bert, text: Text, view_of: Any, texts: list[str]) -> View:
    return masked(bert, view_of(text, texts, role="weak"))


def context(**options: Any) -> Context:
    return Context(step=3, steps=100, epoch=1, seed=0, **options)


def plain_row_sums(objective: MaskedLanguageModelling, bert: Bert, view: View) -> list[float]:
    """Row by row and token by token: minus the log of the softmax at the original id."""
    modality = bert.modality
    draws = context().draws(view).within("masked-language-modelling")
    mask = view.masks["mask"]
    ids = view.inputs["input_ids"][:, 1:]
    corrupted = view.inputs["input_ids"].clone()
    corrupted[:, 1:] = objective.corrupt(ids, mask, modality.vocabulary_size, modality.mask_id, draws)
    logits = bert.model(**{**view.inputs, "input_ids": corrupted}).logits
    sums = []
    for row in range(view.rows):
        total = 0.0
        for place in range(mask.shape[1]):
            if mask[row, place]:
                scores = logits[row, place + 1].tolist()
                shift = max(scores)
                partition = sum(float(torch.tensor(score - shift, dtype=torch.float64).exp()) for score in scores)
                log_partition = shift + float(torch.tensor(partition, dtype=torch.float64).log())
                total += log_partition - scores[int(ids[row, place])]
        sums.append(total)
    return sums


def test_loss_equals_a_plain_reference(bert: Bert, view: View) -> None:
    bert = bert.double().eval()
    objective = objective_of(bert)
    outputs = objective.represent([view], {"text": bert}, context())
    torch.testing.assert_close(
        outputs["masked"], torch.tensor(plain_row_sums(objective, bert, view), dtype=torch.float64)
    )
    loss = objective.loss(outputs, {}, context())
    torch.testing.assert_close(loss.sums["masked"], outputs["masked"].sum())


def test_loss_equals_that_of_transformers(bert: Bert, view: View) -> None:
    bert = bert.eval()
    objective = objective_of(bert)
    outputs = objective.represent([view], {"text": bert}, context())
    count = objective.counts([view], context())["masked"]
    draws = context().draws(view).within("masked-language-modelling")
    ids, mask = view.inputs["input_ids"][:, 1:], view.masks["mask"]
    corrupted = objective.corrupt(ids, mask, bert.modality.vocabulary_size, bert.modality.mask_id, draws)
    inputs = torch.cat([view.inputs["input_ids"][:, :1], corrupted], dim=1)
    labels = torch.full_like(inputs, -100)
    labels[:, 1:] = torch.where(mask, ids, -100)
    expected = bert.model(input_ids=inputs, attention_mask=view.inputs["attention_mask"], labels=labels).loss
    torch.testing.assert_close(outputs["masked"].sum() / count, expected, rtol=1e-5, atol=1e-6)


def test_same_loss_and_gradient_in_any_number_of_parts(bert: Bert, view: View) -> None:
    check_objective(objective_of(bert), [view], {"text": bert})


def test_works_in_both_precisions(bert: Bert, view: View) -> None:
    for dtype in (torch.float32, torch.float64):
        encoder = bert.to(dtype)
        outputs = objective_of(encoder).represent([view], {"text": encoder}, context())
        assert {value.dtype for value in outputs.values()} == {dtype}


def test_padding_and_neighbours_change_nothing(bert: Bert, text: Text, view_of: Any, texts: list[str]) -> None:
    bert = bert.double().eval()
    objective = objective_of(bert)
    batched = masked(bert, view_of(text, texts, role="weak"))
    outputs = objective.represent([batched], {"text": bert}, context())
    for row in range(len(texts)):
        alone = masked(bert, view_of(text, [texts[row]], role="weak", ids=batched.ids[row : row + 1]))
        one = objective.represent([alone], {"text": bert}, context())
        for name, value in outputs.items():
            torch.testing.assert_close(value[row : row + 1], one[name], rtol=1e-9, atol=1e-9)


def corrupted_fates(ids: Tensor, **options: Any) -> tuple[Tensor, Tensor, MaskedLanguageModelling]:
    """What becomes of ids of which every second is chosen, among a thousand tokens of which 4 is [MASK]."""
    objective = MaskedLanguageModelling(MaskedLanguageModellingConfig(**options), {}, FACTS)
    mask = torch.zeros_like(ids, dtype=torch.bool)
    mask[:, ::2] = True
    view = View({"input_ids": ids}, torch.arange(len(ids)), torch.ones(len(ids), dtype=torch.bool), encoder="text")
    return objective.corrupt(ids, mask, 1000, 4, context().draws(view)), mask, objective


def test_eighty_ten_ten() -> None:
    ids = torch.arange(5, 205).repeat(500, 1)
    result, mask, _ = corrupted_fates(ids)
    assert torch.equal(result[~mask], ids[~mask])
    chosen, original = result[mask], ids[mask]
    masks = int((chosen == 4).sum())
    same = int((chosen == original).sum())
    observed = torch.tensor([masks, len(chosen) - masks - same, same], dtype=torch.float64)
    # A drawn token is [MASK] or the original once in a thousand times each.
    expected = torch.tensor([0.8 + 0.1 / 1000, 0.1 * 0.998, 0.1 + 0.1 / 1000], dtype=torch.float64) * len(chosen)
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    assert chi_square < 13.8, "two degrees of freedom: one in a thousand"


def test_random_tokens_are_uniform_over_the_vocabulary() -> None:
    ids = torch.full((500, 200), 7)
    result, mask, _ = corrupted_fates(ids, mask_probability=0.0, random_probability=1.0)
    counts = torch.bincount(result[mask], minlength=1000).to(torch.float64)
    expected = counts.sum() / 1000
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert len(counts) == 1000
    assert chi_square < 1143, "999 degrees of freedom: one in a thousand"


def test_extremes_of_the_probabilities() -> None:
    ids = torch.arange(5, 25).repeat(50, 1)
    everything, mask, _ = corrupted_fates(ids, mask_probability=1.0, random_probability=0.0)
    assert (everything[mask] == 4).all()
    nothing, _, _ = corrupted_fates(ids, mask_probability=0.0, random_probability=0.0)
    assert torch.equal(nothing, ids)
    with pytest.raises(ValidationError, match="add up to more than 1"):
        MaskedLanguageModellingConfig(mask_probability=0.8, random_probability=0.3)


def test_a_longer_row_draws_the_same_for_its_beginning() -> None:
    ids = torch.arange(5, 55).repeat(20, 1)
    short, _, _ = corrupted_fates(ids[:, :30])
    long, _, _ = corrupted_fates(ids)
    assert torch.equal(long[:, :30], short)


def test_special_tokens_and_padding_are_never_chosen(view: View) -> None:
    words = view.extra["words"][:, 1:]
    assert not (view.masks["mask"] & (words < 0)).any()


def test_rows_without_a_text_count_for_nothing(bert: Bert, view: View) -> None:
    missing = replace(view, present=torch.tensor([True, False, True, True, False]))
    objective = objective_of(bert)
    outputs = objective.represent([missing], {"text": bert}, context())
    counts = objective.counts([missing], context())
    assert outputs["masked"][1] == outputs["masked"][4] == 0.0
    assert float(counts["masked"]) == float(view.masks["mask"][[0, 2, 3]].sum())
    empty = replace(view, present=torch.zeros(5, dtype=torch.bool))
    step = take_step(objective, [empty], {"text": bert})
    assert float(step.sums["masked"].detach()) == 0.0


def test_two_text_encoders_add_up(bert: Bert, view: View) -> None:
    bert = bert.eval()
    objective = MaskedLanguageModelling(MaskedLanguageModellingConfig(), {"text": bert, "other": bert}, FACTS)
    other = replace(view, encoder="other")
    single = [objective.represent([each], {each.encoder: bert}, context()) for each in (view, other)]
    both = objective.represent([view, other], {"text": bert, "other": bert}, context())
    for name in both:
        torch.testing.assert_close(both[name], single[0][name] + single[1][name])
    assert float(objective.counts([view, other], context())["masked"]) == 2 * float(view.masks["mask"].sum())


def test_accuracy_is_the_share_of_right_guesses(bert: Bert) -> None:
    objective = objective_of(bert)
    own = {"masked": torch.ones(3), "hits": torch.tensor([1.0, 0.0, 2.0]), "chosen": torch.tensor([2.0, 0.0, 4.0])}
    assert float(objective.loss(own, {}, context()).monitors["accuracy"]) == pytest.approx(0.5)


def test_learns_a_text_by_heart(bert: Bert, view: View) -> None:
    objective = objective_of(bert)
    optimizer = torch.optim.AdamW(bert.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        outputs = objective.represent([view], {"text": bert}, context())
        loss = outputs["masked"].sum() / objective.counts([view], context())["masked"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_a_modality_without_a_mask_token_is_refused(bert: Bert) -> None:
    class Other(torch.nn.Module):
        modality = object()

    with pytest.raises(ValueError, match="the modality of audio has no mask_id"):
        MaskedLanguageModelling(MaskedLanguageModellingConfig(), {"audio": Other()}, FACTS)  # type: ignore[dict-item]
