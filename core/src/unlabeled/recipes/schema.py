"""The shape of a recipe. Component entries hold an `id` and, beside it, the keys of that component's own Config."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

SPLITS = ("train", "validation", "test")
Cell = str | int | float | bool


def _duration(value: object) -> timedelta:
    """Seconds, or H:MM:SS with any number of hours; YAML itself reads 1:30:00 as 5400 seconds."""
    found = re.fullmatch(r"(?:(\d+):([0-5]?\d):(?=[0-5]?\d(?:\.|$)))?(\d+(?:\.\d+)?)", str(value))
    if isinstance(value, timedelta):
        return value
    if found is None:
        raise ValueError(f"should be hours:minutes:seconds or seconds, not {value!r}")
    hours, minutes, seconds = found.groups(default="0")
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def _plain_duration(value: timedelta) -> str:
    minutes, seconds = divmod(value.total_seconds(), 60)
    return f"{int(minutes) // 60}:{int(minutes) % 60:02}:{seconds:02g}"


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(_plain_duration, when_used="json")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ComponentEntry(BaseModel):
    """An id, and the component's own options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = Field(description="full (`vision/resnet`) or short (`resnet`) id of a component")

    @property
    def options(self) -> dict[str, Any]:
        """The keys that belong to the component's own Config."""
        return dict(self.model_extra or {})


class ModalityEntry(ComponentEntry):
    """One encoder of the run: the modality it reads, and the network."""

    encoder: ComponentEntry | None = Field(default=None, description="default: the modality's own default encoder")


class ObjectiveEntry(ComponentEntry):
    """One objective of the run."""

    on: list[str] = Field(default_factory=list, description="names under `modalities`; default: all of them")
    weight: Annotated[float, Field(gt=0)] = 1.0
    masks: dict[str, ComponentEntry] = Field(
        default_factory=dict, description="replaces the objective's maskings by name"
    )


class SplitConfig(_Strict):
    """Which rows a split holds, where the source itself does not say."""

    source: str | list[str] | None = Field(default=None, description="default: `data.source`")
    split: str | None = Field(default=None, description="the source's own name of this split")
    streaming: bool | None = Field(default=None, description="default: `data.streaming`")
    where: dict[str, Cell | list[Cell]] = Field(
        default_factory=dict, description="keep rows whose column has this value"
    )
    without: dict[str, Cell | list[Cell]] = Field(default_factory=dict, description="drop rows with this value")


class DataConfig(_Strict):
    """Where the samples come from."""

    source: str | list[str] | None = Field(
        default=None, description="files (parquet, csv, jsonl), a folder, a hub name, or sample:NAME"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Config of a source plugin (sample:NAME)")
    streaming: bool = Field(
        default=False, description="read files, a folder or a hub name forward through `datasets`, without loading them"
    )
    interleave: Annotated[int, Field(gt=0)] = Field(
        default=8,
        description="parts of a stream (row groups, files) that are read side by side, so that batches mix them",
    )
    block_rows: Annotated[int, Field(gt=0)] = Field(
        default=256,
        description="rows of each part that a worker holds in memory: a batch draws from interleave * block_rows rows",
    )
    columns: dict[str, str | list[str]] = Field(
        default_factory=dict, description="encoder name -> column, or several columns whose cells form a list"
    )
    label: str | None = Field(default=None, description="column that evaluators predict; never seen in training")
    splits: dict[Literal["train", "validation", "test"], SplitConfig] = Field(default_factory=dict)
    split_column: str | None = Field(default=None, description="column whose values name the splits")
    where: dict[str, Cell | list[Cell]] = Field(default_factory=dict, description="applies to every split")
    without: dict[str, Cell | list[Cell]] = Field(default_factory=dict, description="applies to every split")
    holdout: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="share of rows kept for evaluation where no split but `train` exists"
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        default=1,
        description="processes that decode; changes no result. 0: the trainer decodes, and a decoder that hangs or ends its "
        "process takes the run with it",
    )
    decode_timeout: Annotated[float, Field(gt=0)] = Field(
        default=300.0,
        description="seconds after which a worker that decodes one cell is killed and the cell set aside; what a run has "
        "once set aside stays so",
    )
    cache: bool = Field(default=True, description="keep decoded samples on disk where the modality says that it pays")
    max_bad: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="share of undecodable cells above which the run stops; above 0, ten of them are always let pass",
    )


class KeepBest(_Strict):
    """A metric, and which way it gets better."""

    metric: str = Field(
        description="a name in metrics.jsonl (`loss`), or an evaluation's (`accuracy`; in full `standard/knn/image/accuracy`)"
    )
    mode: Literal["min", "max"] = Field(description="whether the smallest or the largest value is the best")


class TrainingConfig(_Strict):
    """How long and how fast."""

    steps: Annotated[int, Field(gt=0)] | None = Field(default=None, description="optimizer steps; or give `epochs`")
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(gt=0)] = Field(
        default=256, description="rows of one optimizer step, over all processes and micro-batches"
    )
    micro_batches: Annotated[int, Field(gt=0)] = Field(default=1, description="parts a process cuts its rows into")
    drop_last: bool = Field(default=True, description="leave out an epoch's last, smaller batch")
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="AdamW; the first is SGD's momentum")
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.05, description="none on biases, norms, positions and tokens"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    final_learning_rate: Annotated[float, Field(ge=0)] = Field(default=0.0, description="share of the peak at the end")
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(default=None, description="largest gradient norm")
    precision: Literal["float32", "bfloat16", "float16", "float64"] = Field(
        default="float32",
        description="bfloat16 and float16: autocast, weights stay float32; float16 scales gradients, as far as none overflows",
    )
    compile: bool = Field(default=False, description="compile each repeated layer of the encoders, by torch.compile")
    gradient_checkpointing: bool = Field(
        default=False, description="recompute the encoders' layers in the backward pass: less memory, more time"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(gt=0)] | None = Field(default=None, description="CPU threads of each process")
    seed: int = 0
    log_every: Annotated[int, Field(gt=0)] = 10
    checkpoint_every: Annotated[int, Field(gt=0)] = 500
    keep_checkpoints: Annotated[int, Field(gt=0)] = Field(default=2, description="the newest that are kept")
    keep_every: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="steps: also keep the checkpoints at its multiples"
    )
    keep_best: KeepBest | None = Field(
        default=None, description="also keep the best of the checkpoints at whose step a metric was measured"
    )
    evaluate_every: Annotated[int, Field(ge=0)] = Field(default=0, description="steps; 0: only at the end")
    max_time: Duration | None = Field(
        default=None, description="H:MM:SS or seconds of this start, after which it stops as SIGTERM stops it"
    )
    max_bad_steps: Annotated[int, Field(gt=0)] = Field(
        default=10, description="non-finite steps in a row before stopping"
    )
    skip_steps: list[tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]] = Field(
        default_factory=list,
        description="[first, last] steps whose batches are left out, counted as in metrics.jsonl: go on from a checkpoint "
        "before a loss spike without the batches that led to it (PaLM; Chowdhery et al., 2022, section 5.1)",
    )
    spike_threshold: Annotated[float, Field(gt=0)] = Field(
        default=6.0,
        description="a loss so many standard deviations above its running mean is reported; by Chebyshev at most one step "
        "in 36 for any distribution, for a normal one practically none",
    )
    spike_window: Annotated[int, Field(gt=1)] = Field(
        default=100, description="steps that the running mean looks back, and that pass before the first report"
    )
    stop_on_collapse: bool = Field(default=False, description="stop where a sign of collapse lasts for 5 logged steps")

    @model_validator(mode="after")
    def _skips_ascend(self) -> "TrainingConfig":
        ends = [step for pair in self.skip_steps for step in pair]
        if any(first > last for first, last in self.skip_steps) or any(
            end >= start for end, start in zip(ends[1::2], ends[2::2], strict=False)
        ):
            raise ValueError("skip_steps must be [[first, last], ...], ascending and without overlap")
        return self

    @model_validator(mode="after")
    def _length(self) -> "TrainingConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self

    @model_validator(mode="after")
    def _kept_are_written(self) -> "TrainingConfig":
        if self.keep_every is not None and self.keep_every % self.checkpoint_every:
            raise ValueError(
                f"keep_every ({self.keep_every}) is not a multiple of checkpoint_every ({self.checkpoint_every})"
            )
        return self


class EvaluationEntry(ComponentEntry):
    """One evaluator, with data of its own where it differs from the run's."""

    data: DataConfig | None = None
    train: str = Field(default="train", description="split to fit on")
    test: str | None = Field(default=None, description="split to score on; default: test, else validation")
    label: str | None = Field(default=None, description="default: `data.label`")
    max_samples: Annotated[int, Field(gt=1)] | None = Field(
        default=None, description="use the first rows of each split"
    )


class Recipe(_Strict):
    """A whole run."""

    summary: str = ""
    modalities: dict[str, ModalityEntry] = Field(min_length=1)
    data: DataConfig = DataConfig()
    objectives: list[ObjectiveEntry] = Field(min_length=1)
    augmentations: dict[str, dict[str, list[ComponentEntry]]] = Field(
        default_factory=dict,
        description="encoder name -> role -> transforms; replaces the modality's pipeline of that role",
    )
    training: TrainingConfig
    evaluation: list[EvaluationEntry] = Field(default_factory=list)
