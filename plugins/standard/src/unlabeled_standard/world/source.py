"""`sample:world`: scenes made from their number, each seen by every modality."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydantic import BaseModel, Field

from unlabeled.interfaces.modality import Config
from unlabeled.interfaces.source import Row, Source
from unlabeled_standard.world import audio, series, text
from unlabeled_standard.world.exact import Key
from unlabeled_standard.world.image import render
from unlabeled_standard.world.scene import BACKGROUNDS, COLORS, MOTIONS, SHAPES, TEXTURES, Scene, draw_scene

VERSION = 2  # to be raised with every change of what any row holds
FRAME_RATE = 8  # of videos, frames in a second
LABELS: dict[str, tuple[tuple[str, ...], Callable[[Scene], int]]] = {
    "label": (SHAPES, lambda scene: scene.things[0].shape),
    "shape": (SHAPES, lambda scene: scene.things[0].shape),
    "color": (COLORS, lambda scene: scene.things[0].color),
    "texture": (TEXTURES, lambda scene: scene.things[0].texture),
    "motion": (MOTIONS, lambda scene: scene.motion.kind),
    "background": (BACKGROUNDS, lambda scene: scene.backdrop.kind),
}
COLUMNS = {
    "image": "image",
    "text": "text",
    "audio": "audio",
    "video": "video",
    "series": "series",
    **dict.fromkeys(LABELS, "label"),
}


class Items(Config):
    """Rows of each split."""

    train: int = Field(default=8192, ge=1, description="rows to train on")
    validation: int = Field(default=512, ge=1, description="rows to choose by")
    test: int = Field(default=512, ge=1, description="rows to measure on")


class WorldConfig(Config):
    """The sample world: how many scenes and how they are rendered."""

    seed: int = Field(default=0, ge=0, lt=2**63, description="another seed is another world")
    items: Items = Field(default=Items(), description="rows of each split")
    size: int = Field(default=48, ge=16, le=512, description="height and width of images and videos in pixels")
    frames: int = Field(default=16, ge=1, le=256, description="frames of a video, 8 to the second")
    steps: int = Field(default=96, ge=8, le=4096, description="readings of a sensor trace, 32 to the second")


SPLITS = tuple(Items.model_fields)


class World(Source):
    """One split of the sample world. Row i depends on the configuration, the split and i alone, cell by cell.

    Cells: `image` (size, size, 3) uint8; `text` two captions; `audio` {array (8000,) float32, sampling_rate};
    `video` {frames (frames, size, size, 3) uint8, fps}, of which the image is the first frame; `series` (steps, 5) float32;
    labels of the largest thing (`label` is its shape), of its motion and of the background.
    """

    Config = WorldConfig
    config: WorldConfig

    def __init__(self, config: BaseModel, split: str) -> None:
        """Open one split; `ValueError` where the world has none of that name."""
        if split not in SPLITS:
            raise ValueError(f"sample:world has no split {split!r}; it has {', '.join(SPLITS)}")
        super().__init__(config, split)

    @classmethod
    def splits(cls, config: BaseModel) -> tuple[str, ...]:
        """Train, validation and test."""
        return SPLITS

    def __len__(self) -> int:
        """Number of rows."""
        return int(getattr(self.config.items, self.split))

    @property
    def columns(self) -> Mapping[str, str]:
        """Column name -> type."""
        return COLUMNS

    def row(self, index: int, columns: Sequence[str]) -> Row:
        """The named cells of row `index`, the only ones rendered; `IndexError` or `ValueError` where one does not exist."""
        if not 0 <= index < len(self):
            raise IndexError(f"sample:world has no row {index} in {self.split!r}; it has rows 0 to {len(self) - 1}")
        key = Key(self.config.seed, SPLITS.index(self.split), index)
        scene = draw_scene(key)
        return {column: self._cell(column, key, scene) for column in columns}

    def fingerprint(self) -> str:
        """Digest of the version of the world, the configuration and the split."""
        content = f"{VERSION} {self.split} {self.config.model_dump_json()}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def label_names(self, column: str) -> tuple[str, ...] | None:
        """Names of the classes of a label column, None for the others."""
        return LABELS[column][0] if column in LABELS else None

    def _cell(self, column: str, key: Key, scene: Scene) -> object:
        match column:
            case "image":
                return render(scene, np.zeros(1, dtype=np.float32), self.config.size)[0]
            case "text":
                return text.write_captions(key, scene)
            case "audio":
                return {"array": audio.record(key, scene), "sampling_rate": audio.RATE}
            case "video":
                times = np.arange(self.config.frames, dtype=np.float32) / FRAME_RATE
                return {"frames": render(scene, times, self.config.size), "fps": FRAME_RATE}
            case "series":
                return series.trace(key, scene, self.config.steps)
            case label if label in LABELS:
                return LABELS[label][1](scene)
            case _:
                raise ValueError(f"sample:world has no column {column!r}; it has {', '.join(COLUMNS)}")
