"""audio/wav2vec2: contrastive prediction of quantised latents."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled import Config, Context, Encoder, Facts, Loss, Objective, View, ViewSpec, gather_tokens
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2
from unlabeled_audio.objectives.checkpoint import save_for_pretraining
from unlabeled_audio.objectives.quantizer import Assignment, ProductQuantizer, perplexity

GUMBEL_SHARE = 0.7
"""Part of a run in which the temperature falls, as in BASE's: 2 * 0.999995 ** step is 0.5 at 277,259 of 400,000 steps."""


class Wav2Vec2ObjectiveConfig(Config):
    """Options of audio/wav2vec2; defaults are BASE's (Baevski et al., 2020, sections 4.2 and B)."""

    groups: int = Field(2, ge=1, description="G, codebooks")
    entries: int = Field(320, ge=2, description="V, entries of each codebook")
    code_width: int = Field(
        256, ge=1, description="width of a quantised latent, all codebooks together; BASE 256, LARGE 768"
    )
    projection: int = Field(
        256, ge=1, description="width in which prediction and target are compared; BASE 256, LARGE 768"
    )
    negatives: int = Field(
        100, ge=1, description="K, distractors of each masked step, from other masked steps of its row"
    )
    temperature: float = Field(0.1, gt=0, description="kappa of equation 3")
    gumbel_start: float = Field(2.0, gt=0, description="temperature of the Gumbel softmax at step 0")
    gumbel_end: float = Field(0.5, gt=0, description="its value at the end; BASE 0.5, LARGE 0.1")
    gumbel_steps: int | None = Field(
        None,
        ge=1,
        description="steps in which it falls there by a constant factor; default: 0.7 of the run. BASE: 277,259 of 400,000",
    )
    diversity: float = Field(0.1, ge=0, description="alpha of equation 2, weight of the diversity loss")
    penalty: float = Field(10.0, ge=0, description="weight of the mean square of the features; BASE 10, LARGE 0")

    @model_validator(mode="after")
    def _sensible(self) -> "Wav2Vec2ObjectiveConfig":
        if self.code_width % self.groups:
            raise ValueError(f"code_width={self.code_width} must be a multiple of groups={self.groups}")
        return self


class Wav2Vec2Objective(Objective):
    """wav2vec 2.0 (Baevski et al., 2020): find the quantised latent of a masked step among those of other masked steps.

    contrastive: equation 3, -log of the softmax over cosine / kappa of the true latent, summed over masked steps; distractors
    that are the same entries as the true latent are left out. diversity: equation 4 as its authors' code computes it, one
    minus the codebooks' perplexities over G * V, of the soft distribution over all masked steps of the whole batch.
    penalty: mean square of each row's features before their norm. Targets are not detached.
    Rows with fewer than two masked steps have no distractors and do not score.
    """

    Config = Wav2Vec2ObjectiveConfig
    config: Wav2Vec2ObjectiveConfig
    requires = frozenset({"tokens", "mask-token", "local-features"})
    views = (
        ViewSpec(
            "weak", masks={"mask": {"id": "standard/span-masking", "probability": 0.65, "span": 10, "minimum": 2}}
        ),
    )
    gathers = ("soft", "used")

    def __init__(self, config: Wav2Vec2ObjectiveConfig, encoders: Mapping[str, Encoder], facts: Facts) -> None:
        super().__init__(config, encoders, facts)
        if len(encoders) != 1:
            raise ValueError(
                f"audio/wav2vec2 works on one encoder, not on {', '.join(encoders)}; list it once for each"
            )
        (encoder,) = encoders.values()
        self.gumbel_steps = config.gumbel_steps or max(1, round(GUMBEL_SHARE * facts.steps))
        self.weights = {"diversity": config.diversity, "penalty": config.penalty}
        self.quantizer = ProductQuantizer(encoder.local_width, config.groups, config.entries, config.code_width)
        self.project_hid = nn.Linear(encoder.width, config.projection)
        self.project_q = nn.Linear(config.code_width, config.projection)

    def gumbel_temperature(self, step: int) -> float:
        """Temperature of the Gumbel softmax in a step: exponentially from its start to its end, where it stays."""
        start, end = self.config.gumbel_start, self.config.gumbel_end
        return start * (end / start) ** min(1.0, step / self.gumbel_steps)

    def counts(self, views: Sequence[View], context: Context) -> dict[str, Tensor]:
        """contrastive: masked steps that score; penalty: rows that are there; diversity, of the whole batch: rows."""
        (view,) = views
        return {"contrastive": scored_steps(view).sum(), "penalty": view.present.sum()}

    def represent(self, views: Sequence[View], encoders: Mapping[str, Encoder], context: Context) -> dict[str, Tensor]:
        """Per row: contrastive, chance_loss, penalty, correct, compared, chance (B,); soft, used (B, G, V): steps by entry."""
        (view,) = views
        encoder, draws = encoders[view.encoder], context.draws(view)
        tokens = encoder.embed(view)
        scored = scored_steps(view)
        places, real = _first_places(scored)
        encoded = encoder.encode(encoder.replace(tokens, view.masks["mask"]))
        predictions = self.project_hid(gather_tokens(encoded.values, places))

        noise = None
        if context.training:
            noise = draws("gumbel").uniform(scored.shape[1], self.config.groups, self.config.entries)
            noise = gather_tokens(noise, places)
        latents = gather_tokens(tokens.features["local"], places)
        assignment = self.quantizer.assign(latents, noise, self.gumbel_temperature(context.step))
        targets = self.project_q(self.quantizer.lookup(assignment.hard).to(predictions.dtype))

        others = draws("negatives").choose_other(scored, self.config.negatives)
        others = _rank(scored, gather_tokens(others, places)).clamp(max=places.shape[1] - 1)
        return {
            **self._contrast(predictions, targets, assignment.codes, others, real),
            **_usage(assignment, real),
            "penalty": _penalty(
                tokens.features["local-raw"], encoder.layout(view).maskable & view.present.unsqueeze(1)
            ),
        }

    def loss(self, own: Mapping[str, Tensor], all: Mapping[str, Tensor], context: Context) -> Loss:
        """The three terms; monitors: contrastive_accuracy beside contrastive_chance, codebook_perplexity_1 to G."""
        groups, entries = self.config.groups, self.config.entries
        soft, used = (_shares(all[name]) for name in ("soft", "used"))
        diversity = 1 - perplexity(soft).sum() / (groups * entries)
        compared = own["compared"].sum().clamp(min=1)
        scored = (own["used"].sum() / groups).clamp(min=1)
        monitors = {
            "contrastive.chance_loss": own["chance_loss"].sum() / scored,
            "contrastive_accuracy": own["correct"].sum() / compared,
            "contrastive_chance": own["chance"].sum() / compared,
            "gumbel_temperature": used.new_tensor(self.gumbel_temperature(context.step)),
        }
        for number, value in enumerate(perplexity(used), start=1):
            monitors[f"codebook_perplexity_{number}"] = value
        sums = {
            "contrastive": own["contrastive"].sum(),
            "diversity": diversity * len(own["contrastive"]),
            "penalty": own["penalty"].sum(),
        }
        return Loss(sums, monitors=monitors)

    def export(self, folder: Path, encoders: Mapping[str, Encoder]) -> Sequence[str]:
        """`NAME-pretraining`: a Wav2Vec2ForPreTraining, where the encoder is a Wav2Vec2Model."""
        ((name, encoder),) = encoders.items()
        if not isinstance(encoder, Wav2Vec2):
            return ()
        part = f"{name}-pretraining"
        save_for_pretraining(folder / part, encoder.model, self.quantizer, self.project_hid, self.project_q)
        return (part,)

    def _contrast(
        self, predictions: Tensor, targets: Tensor, codes: Tensor, others: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """Sums over the real ones of M masked steps: predictions, targets (B, M, P), codes (B, M, G), others (B, M, K)."""
        wide = torch.promote_types(predictions.dtype, torch.float32)
        with torch.autocast(predictions.device.type, enabled=False):
            predictions = nn.functional.normalize(predictions.to(wide), dim=-1)
            targets = nn.functional.normalize(targets.to(wide), dim=-1)
            cosines = predictions @ targets.transpose(1, 2) / self.config.temperature
        same = (codes.unsqueeze(1) == codes.unsqueeze(2)).all(dim=-1).gather(2, others)
        positive = cosines.diagonal(dim1=1, dim2=2).unsqueeze(2)
        negative = cosines.gather(2, others).masked_fill(same, float("-inf"))
        loss = torch.cat([positive, negative], dim=2).logsumexp(dim=2) - positive.squeeze(2)
        compared = real & ~same.all(dim=2)
        correct = compared & (positive > negative).all(dim=2)
        chance = 1 / (1 + _distinct(codes, others, same))
        zero = loss.new_zeros(())
        return {
            "contrastive": torch.where(real, loss, zero).sum(dim=1),
            "chance_loss": torch.where(real, (1 + (~same).sum(dim=2)).to(wide).log(), zero).sum(dim=1),
            "compared": compared.sum(dim=1).to(wide),
            "correct": correct.sum(dim=1).to(wide),
            "chance": torch.where(compared, chance, zero).sum(dim=1),
        }


def scored_steps(view: View) -> Tensor:
    """(B, N) bool: masked steps of rows that are there and have another masked step to be told from."""
    mask = view.masks["mask"]
    return mask & (view.present & (mask.sum(dim=1) > 1)).unsqueeze(1)


def _first_places(mask: Tensor) -> tuple[Tensor, Tensor]:
    """(B, M) the places of the True ones of `mask` (B, N) in order, M the most of any row, and (B, M) which are such."""
    count = mask.sum(dim=1)
    size = max(int(count.max()), 1)
    places = (~mask).to(torch.int64).argsort(dim=1, stable=True)[:, :size]
    return places, torch.arange(size, device=mask.device) < count.unsqueeze(1)


def _rank(mask: Tensor, places: Tensor) -> Tensor:
    """(B, M, K) how many True places of `mask` (B, N) come before each of `places` (B, M, K)."""
    before = mask.cumsum(dim=1) - mask.to(torch.int64)
    return before.gather(1, places.flatten(1)).reshape(places.shape)


def _usage(assignment: Assignment, real: Tensor) -> dict[str, Tensor]:
    """soft, used (B, G, V): the soft distributions, and the likeliest entries, summed over the real steps."""
    soft = assignment.soft
    used = nn.functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
    weight = real.to(soft.dtype).unsqueeze(2).unsqueeze(3)
    return {"soft": (weight * soft).sum(dim=1), "used": (weight * used).sum(dim=1)}


def _shares(sums: Tensor) -> Tensor:
    """(G, V) the mean distribution from sums of distributions (R, G, V)."""
    total = sums.sum(dim=0)
    return total / total.sum(dim=1, keepdim=True).clamp(min=1)


def _penalty(features: Tensor, real: Tensor) -> Tensor:
    """(B,) the mean square of the features (B, N, L) of each row's real steps."""
    squares = features.to(torch.promote_types(features.dtype, torch.float32)).square().mean(dim=2)
    return torch.where(real, squares, 0).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def _distinct(codes: Tensor, others: Tensor, same: Tensor) -> Tensor:
    """(B, M) how many different latents the distractors of each step are, but for those that are `same` as its own."""
    alike = (codes.unsqueeze(1) == codes.unsqueeze(2)).all(dim=-1)
    first = alike.to(torch.int64).argmax(dim=2)  # of each step, the first step with the same latent
    numbers = (
        first.unsqueeze(1).expand(-1, codes.shape[1], -1).gather(2, others).masked_fill(same, -1).sort(dim=2).values
    )
    changes = (numbers[:, :, 1:] != numbers[:, :, :-1]).sum(dim=2)
    return changes + (numbers[:, :, 0] >= 0).to(changes.dtype)
