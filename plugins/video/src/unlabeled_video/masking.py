"""Maskings that know which axis of the tokens is time."""

from pydantic import Field
from torch import Tensor

from unlabeled import Config, Draws, Layout, Masking


class TubeConfig(Config):
    """Options of `video/tube-masking`."""

    ratio: float = Field(0.9, ge=0, lt=1, description="part of the places masked; VideoMAE (Tong et al., 2022): 0.9")


class TubeMasking(Masking):
    """One random choice of places, repeated at every time, so that no frame shows what another hides (Tong et al., 2022).

    Masks floor(ratio * places) tubes in every row, places being height * width, and each of them at every time. A row
    with places that cannot be masked at some time never has them chosen. `ValueError` without a grid (T, H, W).
    """

    Config = TubeConfig
    config: TubeConfig

    def __call__(self, layout: Layout, draws: Draws) -> Tensor:
        """(B, T * H * W) bool."""
        if len(layout.grid) < 2:
            raise ValueError(f"video/tube-masking needs tokens in time and space, not a grid {layout.grid}")
        times = layout.grid[0]
        tubes = layout.maskable.unflatten(1, (times, -1)).all(dim=1)
        chosen = draws("tubes").subset(tubes, int(self.config.ratio * tubes.shape[1]))
        return chosen.unsqueeze(1).expand(-1, times, -1).flatten(1)
