"""The loss against a slow plain reference, against transformers' own, and the promises of objectives."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoModelForPreTraining, Wav2Vec2ForPreTraining
from transformers import Wav2Vec2Config as ModelConfig
from transformers.models.wav2vec2 import modeling_wav2vec2

from unlabeled import Facts, View
from unlabeled.testing import check_objective, make_draws, take_step
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2, Wav2Vec2Config
from unlabeled_audio.objectives.quantizer import ProductQuantizer, gumbel, perplexity
from unlabeled_audio.objectives.wav2vec2 import Wav2Vec2Objective, Wav2Vec2ObjectiveConfig, scored_steps
from unlabeled_audio.waveform import Audio
from unlabeled_standard.maskings import SpanMasking, SpanMaskingConfig

GROUPS, ENTRIES, NEGATIVES = 2, 5, 7
OPTIONS: dict[str, Any] = {
    "groups": GROUPS,
    "entries": ENTRIES,
    "code_width": 8,
    "projection": 6,
    "negatives": NEGATIVES,
    "gumbel_steps": 277259,
}
Encoders = dict[str, Wav2Vec2]


@pytest.fixture
def encoders(audio: Audio) -> Encoders:
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=[12, 12, 10],
        conv_kernel=[10, 5, 4],
        conv_stride=[5, 4, 4],
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        attention="eager",
    )
    return {"audio": Wav2Vec2(config, audio).double()}


@pytest.fixture
def objective(encoders: Encoders) -> Wav2Vec2Objective:
    torch.manual_seed(1)
    return Wav2Vec2Objective(Wav2Vec2ObjectiveConfig(**OPTIONS), encoders, Facts(100, 4, 100, 1.0)).double()


@pytest.fixture
def view(waveforms: View, encoders: Encoders) -> View:
    """Four rows of 60, 31, 12 and 60 steps; the third is a blank, and of the second one step is masked."""
    wide = waveforms.with_inputs(input_values=waveforms.inputs["input_values"].double())
    wide = replace(wide, present=torch.tensor([True, True, False, True]))
    mask = SpanMasking(SpanMaskingConfig(span=5))(encoders["audio"].layout(wide), make_draws(wide))
    mask[1] = False
    mask[1, 4] = True
    return replace(wide, masks={"mask": mask})


def plain_loss(objective: Wav2Vec2Objective, encoder: Wav2Vec2, view: View, step: int) -> dict[str, Any]:
    """Every number of a step by loops over rows, steps and distractors, from the paper's equations."""
    config, quantizer, mask = objective.config, objective.quantizer, view.masks["mask"]
    draws = make_draws(view)
    scored = mask & view.present.unsqueeze(1)
    scored[scored.sum(dim=1) < 2] = False
    uniform = draws("gumbel").uniform(mask.shape[1], GROUPS, ENTRIES).double()
    others = draws("negatives").choose_other(scored, NEGATIVES)
    tokens = encoder.embed(view)
    context = encoder.encode(encoder.replace(tokens, mask)).values
    tau = max(2.0 * 0.999995**step, 0.5)

    codes: dict[tuple[int, int], tuple[int, ...]] = {}
    latents: dict[tuple[int, int], Tensor] = {}
    soft, used = [], []
    for row, time in scored.nonzero().tolist():
        logits = quantizer.weight_proj(tokens.features["local"][row, time]).reshape(GROUPS, ENTRIES)
        noise = -torch.log(-torch.log(uniform[row, time].clamp(min=2.0**-25)))
        tempered = ((logits + noise) / tau).softmax(dim=1)
        chosen = tempered.argmax(dim=1)
        parts = []
        for group in range(GROUPS):
            hard = torch.eye(ENTRIES, dtype=torch.float64)[chosen[group]]
            weights = hard + tempered[group] - tempered[group].detach()
            parts.append(weights @ quantizer.codevectors[0].reshape(GROUPS, ENTRIES, -1)[group])
        latents[row, time] = objective.project_q(torch.cat(parts))
        codes[row, time] = tuple(chosen.tolist())
        soft.append(logits.softmax(dim=1))
        used.append(torch.nn.functional.one_hot(logits.argmax(dim=1), ENTRIES).double())

    contrastive, correct, compared, chance = torch.zeros((), dtype=torch.float64), 0, 0, 0.0
    for row, time in scored.nonzero().tolist():
        prediction = objective.project_hid(context[row, time])
        similar = [torch.cosine_similarity(prediction, latents[row, time], dim=0) / config.temperature]
        rivals = set()
        for other in others[row, time].tolist():
            assert other != time
            assert scored[row, other]
            if codes[row, other] != codes[row, time]:
                similar.append(torch.cosine_similarity(prediction, latents[row, other], dim=0) / config.temperature)
                rivals.add(codes[row, other])
        logits = torch.stack(similar)
        contrastive = contrastive + torch.log(torch.exp(logits).sum()) - logits[0]
        if rivals:
            compared += 1
            correct += bool(logits[0] > logits[1:].max())
            chance += 1 / (1 + len(rivals))

    mean, hard = torch.stack(soft).mean(dim=0), torch.stack(used).mean(dim=0)
    entropy = -(mean * mean.log()).sum(dim=1)
    total = entropy.exp().sum()
    lengths = encoder.layout(view).lengths
    squares = [
        torch.stack(
            [tokens.features["local-raw"][row, time].square().mean() for time in range(int(lengths[row]))]
        ).mean()
        for row in range(view.rows)
        if view.present[row]
    ]
    return {
        "contrastive": contrastive / int(scored.sum()),
        "diversity": (GROUPS * ENTRIES - total) / (GROUPS * ENTRIES),
        "penalty": torch.stack(squares).mean(),
        "accuracy": correct / compared,
        "chance": chance / compared,
        "perplexity": [float(torch.exp(-torch.xlogy(row, row).sum())) for row in hard],
    }


@pytest.mark.parametrize("step", [0, 300000])
def test_equals_the_plain_reference(objective: Wav2Vec2Objective, encoders: Encoders, view: View, step: int) -> None:
    expected = plain_loss(objective, encoders["audio"], view, step)
    found = take_step(objective, [view], encoders, step=step)
    for term in ("contrastive", "diversity", "penalty"):
        assert torch.allclose(found.sums[term] / found.counts[term], expected[term], rtol=1e-12)
    whole = expected["contrastive"] + 0.1 * expected["diversity"] + 10 * expected["penalty"]
    assert torch.allclose(found.loss, whole, rtol=1e-12)
    assert float(found.monitors["contrastive_accuracy"]) == pytest.approx(expected["accuracy"])
    assert float(found.monitors["contrastive_chance"]) == pytest.approx(expected["chance"])
    for number, value in enumerate(expected["perplexity"], start=1):
        assert float(found.monitors[f"codebook_perplexity_{number}"]) == pytest.approx(value)
    names = [f"objective.{name}" for name, _ in objective.named_parameters()]
    gradients = torch.autograd.grad(whole, list(objective.parameters()))
    for name, gradient in zip(names, gradients, strict=True):
        assert torch.allclose(found.gradients[name], gradient, atol=1e-12)


def test_equals_transformers_own_loss(
    objective: Wav2Vec2Objective, encoders: Encoders, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same masks, negatives and noise through Wav2Vec2ForPreTraining, which has no feature penalty."""
    view = replace(view, present=torch.ones(4, dtype=torch.bool))
    view.masks["mask"][1, 10:14] = True
    encoder, mask = encoders["audio"], view.masks["mask"]
    draws = make_draws(view)
    uniform = draws("gumbel").uniform(mask.shape[1], GROUPS, ENTRIES).double()
    negatives = draws("negatives").choose_other(mask, NEGATIVES)
    rows = torch.arange(4).reshape(-1, 1, 1) * mask.shape[1]

    def with_our_noise(logits: Tensor, tau: float, hard: bool) -> Tensor:
        scores = (logits.double() + gumbel(uniform).reshape(logits.shape)) / tau
        chosen = torch.nn.functional.one_hot(scores.argmax(dim=-1), ENTRIES).double()
        return chosen + (scores.softmax(dim=-1) - scores.softmax(dim=-1).detach())

    monkeypatch.setattr(modeling_wav2vec2.nn.functional, "gumbel_softmax", with_our_noise)
    settings = {
        **encoder.model.config.to_dict(),
        "num_codevectors_per_group": ENTRIES,
        "num_codevector_groups": GROUPS,
        "codevector_dim": 8,
        "proj_codevector_dim": 6,
        "num_negatives": NEGATIVES,
    }
    model = Wav2Vec2ForPreTraining(ModelConfig(**settings, attn_implementation="eager")).double().train()
    model.wav2vec2.load_state_dict(encoder.model.state_dict())
    for name in ("quantizer", "project_hid", "project_q"):
        getattr(model, name).load_state_dict(getattr(objective, name).state_dict())
    output = model(
        encoder.normalized(view),
        view.inputs["attention_mask"],
        mask_time_indices=mask,
        sampled_negative_indices=negatives + rows,
    )
    found = take_step(objective, [view], encoders)
    scored = float(mask.sum())
    assert torch.allclose(found.sums["contrastive"] / scored, (output.contrastive_loss / scored).double(), rtol=1e-5)
    diversity = found.sums["diversity"] / found.counts["diversity"]
    assert torch.allclose(diversity, (output.diversity_loss / scored).double(), rtol=1e-5)
    output.loss.backward()
    ours = found.gradients["objective.project_hid.weight"]
    assert torch.allclose(ours, model.project_hid.weight.grad / scored, rtol=1e-4, atol=1e-7)


def test_promises(objective: Wav2Vec2Objective, encoders: Encoders, view: View) -> None:
    check_objective(objective, [view], encoders)


@pytest.mark.parametrize(("micro_batches", "processes"), [(2, 1), (4, 2), (1, 3)])
def test_the_same_for_any_division(
    objective: Wav2Vec2Objective, encoders: Encoders, view: View, micro_batches: int, processes: int
) -> None:
    whole = take_step(objective, [view], encoders)
    parts = take_step(objective, [view], encoders, micro_batches=micro_batches, processes=processes)
    assert torch.allclose(whole.loss, parts.loss, rtol=1e-12)
    for name, gradient in whole.gradients.items():
        assert torch.allclose(gradient, parts.gradients[name], atol=1e-10), name


def test_padding_changes_nothing(objective: Wav2Vec2Objective, encoders: Encoders, view: View) -> None:
    longer = {name: torch.nn.functional.pad(value, (0, 800)) for name, value in view.inputs.items()}
    padded = replace(view, inputs=longer, masks={"mask": torch.nn.functional.pad(view.masks["mask"], (0, 10))})
    first, second = (take_step(objective, [each], encoders) for each in (view, padded))
    assert torch.allclose(first.loss, second.loss, rtol=1e-9)
    for name, gradient in first.gradients.items():
        assert torch.allclose(gradient, second.gradients[name], atol=1e-9), name


def test_blanks_and_lone_masked_steps_do_not_score(
    objective: Wav2Vec2Objective, encoders: Encoders, view: View
) -> None:
    scored = scored_steps(view)
    assert not scored[1].any()
    assert not scored[2].any()
    found = take_step(objective, [view], encoders)
    assert int(found.counts["contrastive"]) == int(view.masks["mask"][[0, 3]].sum())
    assert found.outputs["contrastive"][1:3].tolist() == [0, 0]
    assert found.outputs["penalty"][2] == 0
    nothing = replace(view, masks={"mask": torch.zeros_like(view.masks["mask"])})
    empty = take_step(objective, [nothing], encoders)
    assert empty.sums["contrastive"] == 0
    assert empty.loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in empty.gradients.values())


def test_targets_receive_a_gradient(objective: Wav2Vec2Objective, encoders: Encoders, view: View) -> None:
    objective.weights = {"diversity": 0.0, "penalty": 0.0}
    gradients = take_step(objective, [view], encoders).gradients
    for name in ("quantizer.codevectors", "quantizer.weight_proj.weight", "project_q.weight", "project_hid.weight"):
        assert gradients[f"objective.{name}"].any(), name


def test_evaluation_takes_the_likeliest_entries(view: View, encoders: Encoders, objective: Wav2Vec2Objective) -> None:
    latents = torch.randn(2, 3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assignment = objective.quantizer.assign(latents, None, 2.0)
    assert torch.equal(assignment.codes, assignment.soft.argmax(dim=-1))
    assert set(assignment.hard.unique().tolist()) == {0.0, 1.0}


def test_the_forward_pass_is_exactly_one_hot_and_the_gradient_soft() -> None:
    torch.manual_seed(0)
    quantizer = ProductQuantizer(6, 2, 4, 8)
    latents = torch.randn(2, 3, 6)
    noise = torch.rand(2, 3, 2, 4)
    assignment = quantizer.assign(latents, noise, 0.7)
    assert set(assignment.hard.detach().unique().tolist()) == {0.0, 1.0}
    logits = quantizer.weight_proj(latents).unflatten(-1, (2, 4))
    expected = ((logits + gumbel(noise)) / 0.7).softmax(dim=-1)
    weights = torch.randn(2, 3, 2, 4)
    (ours,) = torch.autograd.grad((assignment.hard * weights).sum(), quantizer.weight_proj.weight)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), quantizer.weight_proj.weight)
    assert torch.allclose(ours, theirs, atol=1e-6)
    entries = quantizer.codevectors.detach()[0].reshape(2, 4, 4)
    chosen = torch.stack([entries[group][assignment.codes[:, :, group]] for group in range(2)], dim=2)
    assert torch.equal(quantizer.lookup(assignment.hard).detach(), chosen.flatten(2))


def test_gumbel_noise_is_finite_and_has_its_mean() -> None:
    edges = gumbel(torch.tensor([0.0, 2.0**-24, 1 - 2.0**-24]))
    assert edges.isfinite().all()
    noise = gumbel((torch.arange(100000) + 0.5) / 100000)
    assert float(noise.mean()) == pytest.approx(0.5772, abs=1e-3)


def test_perplexity_of_known_distributions() -> None:
    shares = torch.tensor([[0.25] * 4, [0.5, 0.5, 0, 0], [1.0, 0, 0, 0]])
    assert torch.allclose(perplexity(shares), torch.tensor([4.0, 2.0, 1.0]))


def test_the_temperature_falls_as_in_the_paper_or_with_the_run(encoders: Encoders) -> None:
    base = Wav2Vec2Objective(Wav2Vec2ObjectiveConfig(), encoders, Facts(1, 1, 396084, 1.0))
    for step in (0, 1, 100000, 200000):
        assert base.gumbel_temperature(step) == pytest.approx(2 * 0.999995**step, rel=1e-5)
    assert base.gumbel_temperature(390000) == 0.5
    short = Wav2Vec2Objective(Wav2Vec2ObjectiveConfig(), encoders, Facts(1, 1, 100, 1.0))
    assert [short.gumbel_temperature(step) for step in (0, 35, 70, 100)] == pytest.approx([2.0, 1.0, 0.5, 0.5])


def test_one_encoder_only(encoders: Encoders) -> None:
    two = {"audio": encoders["audio"], "other": encoders["audio"]}
    with pytest.raises(ValueError, match="one encoder, not on audio, other"):
        Wav2Vec2Objective(Wav2Vec2ObjectiveConfig(), two, Facts(1, 1, 1, 1.0))


def test_exports_the_whole_as_transformers_has_it(
    objective: Wav2Vec2Objective, encoders: Encoders, view: View, tmp_path: Path
) -> None:
    assert objective.export(tmp_path, encoders) == ("audio-pretraining",)
    model = AutoModelForPreTraining.from_pretrained(tmp_path / "audio-pretraining").double().eval()
    encoder = encoders["audio"]
    with torch.no_grad():
        output = model(encoder.normalized(view), view.inputs["attention_mask"])
        tokens = encoder.embed(view)
        hidden = objective.project_hid(encoder.encode(tokens).values)
        chosen = objective.quantizer.assign(tokens.features["local"], None, 1.0).hard
        targets = objective.project_q(objective.quantizer.lookup(chosen))
    assert torch.allclose(output.projected_quantized_states, targets, atol=1e-6)
    real = encoder.layout(view).maskable
    assert torch.allclose(output.projected_states[real], hidden[real], atol=1e-6)


def test_half_precision_changes_little(objective: Wav2Vec2Objective, encoders: Encoders, view: View) -> None:
    """Cosines, softmax and sums stay in float32 under autocast."""
    encoders["audio"].float(), objective.float()
    narrow = view.with_inputs(input_values=view.inputs["input_values"].float())
    exact = take_step(objective, [narrow], encoders)
    with torch.autocast("cpu", torch.bfloat16):
        found = take_step(objective, [narrow], encoders)
    assert all(found.outputs[name].dtype == torch.float32 for name in ("contrastive", "soft", "penalty"))
    assert torch.allclose(found.loss, exact.loss, rtol=0.05)


def test_noise_follows_the_step_nowhere(objective: Wav2Vec2Objective, encoders: Encoders, view: View) -> None:
    """Draws belong to the sample and the epoch: the temperature alone changes with the step."""
    first, second = (take_step(objective, [view], encoders, step=step) for step in (0, 1))
    assert torch.equal(first.outputs["used"], second.outputs["used"])


@pytest.mark.parametrize("options", [{"code_width": 7}, {"entries": 1}, {"temperature": 0}, {"gumbel_steps": 0}])
def test_wrong_options(options: Mapping[str, float]) -> None:
    with pytest.raises(ValidationError):
        Wav2Vec2ObjectiveConfig(**{**OPTIONS, **options})
