"""vision/convnext: the convolutional network ConvNeXt of transformers, cut into stem and stages."""

from pathlib import Path

from pydantic import Field, model_validator
from torch import Tensor
from transformers import ConvNextConfig, ConvNextModel

from unlabeled import Batch, Config, Encoded, Modality, Tokens
from unlabeled_vision.encoders.staged import StagedEncoder, as_tokens
from unlabeled_vision.processor import Normalize, image_modality, save_image_processor


class ConvNextEncoderConfig(Config):
    """Options of vision/convnext; names as in transformers' ConvNextConfig.

    ConvNeXt-T: 4, [96, 192, 384, 768], [3, 3, 9, 3] (Liu et al., 2022, section 3).
    """

    patch_size: int = Field(4, ge=1, description="side of the stem's patches in pixels")
    hidden_sizes: tuple[int, ...] = Field(
        (32, 64, 128, 256), min_length=1, description="channels of each stage; the last is the width"
    )
    depths: tuple[int, ...] = Field(
        (1, 1, 1, 1), min_length=1, description="blocks of each stage; every stage but the first halves the map"
    )
    initializer_range: float = Field(
        0.02,
        gt=0,
        description="standard deviation of initial weights. ConvNeXt: 0.02; narrow networks learn faster with about 0.1",
    )
    layer_scale_init_value: float = Field(
        0.0,
        ge=0,
        description="initial factor of each block's branch; 0: no factors. ConvNeXt: 1e-6, for deep networks and long runs",
    )
    drop_path_rate: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of samples that skip the last block, growing from 0 at the first. ConvNeXt-T: 0.1",
    )

    @model_validator(mode="after")
    def _matching(self) -> "ConvNextEncoderConfig":
        if len(self.hidden_sizes) != len(self.depths):
            raise ValueError("hidden_sizes and depths need one number for each stage, as many of one as of the other")
        return self


class ConvNext(StagedEncoder):
    """ConvNeXt (Liu et al., 2022). Its stages merge tokens, so objectives that work on tokens do not fit it.

    It normalises each place alone, never over the batch, so micro-batches change nothing.
    """

    Config = ConvNextEncoderConfig
    config: ConvNextEncoderConfig
    provides: frozenset[str] = frozenset({"multi-resolution"})

    def __init__(self, config: ConvNextEncoderConfig, modality: Modality) -> None:
        super().__init__(config, modality)
        self.image = image_modality(modality, "vision/convnext")
        size, reach = self.image.config.size, config.patch_size * 2 ** (len(config.depths) - 1)
        if size < reach:
            raise ValueError(
                f"vision/convnext: pictures of {size} pixels are too small for patch_size {config.patch_size} and "
                f"{len(config.depths)} stages, which need {reach}"
            )
        self.width = config.hidden_sizes[-1]
        self.model = ConvNextModel(
            ConvNextConfig(
                patch_size=config.patch_size,
                num_stages=len(config.depths),
                hidden_sizes=list(config.hidden_sizes),
                depths=list(config.depths),
                initializer_range=config.initializer_range,
                layer_scale_init_value=config.layer_scale_init_value,
                drop_path_rate=config.drop_path_rate,
                image_size=size,
            )
        )
        self.normalize = Normalize(self.image.config.mean, self.image.config.std)

    def embed(self, batch: Batch) -> Tokens:
        """The stem's map as tokens (B, N, hidden_sizes[0]) with its grid."""
        return as_tokens(self.model.embeddings(self.normalize(batch.inputs["pixel_values"])))

    def pool(self, encoded: Encoded) -> Tensor:
        """(B, D): the mean over places, normalised: the model's `pooler_output`."""
        return self.model.layernorm(super().pool(encoded))

    def transformers_model(self) -> ConvNextModel:
        """The model, whose `pooler_output` is what `pool` gives."""
        return self.model

    def export(self, folder: Path) -> None:
        """Write the model and its image processor."""
        self.model.save_pretrained(folder)
        save_image_processor(self.image, folder)
