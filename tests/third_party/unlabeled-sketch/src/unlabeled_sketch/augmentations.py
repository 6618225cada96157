"""An unsteady hand, and gaps."""

from pydantic import Field

from unlabeled import Config, Masking, Transform


class TrembleConfig(Config):
    size: float = Field(default=0.1, ge=0, description="standard deviation of the noise")


class Tremble(Transform):
    Config = TrembleConfig

    def __call__(self, view, draws):
        points, mask = view.inputs["points"], view.inputs.get("attention_mask")
        noise = draws("noise").normal(*points.shape[1:]).to(points.dtype) * self.config.size
        if mask is not None:
            noise = noise * mask.unsqueeze(-1)
        return view.with_inputs(points=points + noise)


class GapsConfig(Config):
    ratio: float = Field(default=0.5, gt=0, lt=1, description="share of the points")


class Gaps(Masking):
    Config = GapsConfig

    def __call__(self, layout, draws):
        count = (layout.maskable.sum(dim=1) * self.config.ratio).long()
        return draws("points").subset(layout.maskable, count)
