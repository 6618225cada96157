"""Molecules that are made, so that everything can be tried without any file."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, Field
from unlabeled import Config, Row, Source

VERSION = 1  # raise it with every change of what a row holds
ROWS = ("train", "test")
CARBON, NITROGEN, OXYGEN, FAMILIES = 0, 1, 2, 4
SINGLE, DOUBLE, AROMATIC = 0, 1, 2
# The rings of three carbons, two nitrogens and an oxygen: where the nitrogens stand, the oxygen being at 0.
RINGS = ((1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (2, 4))


class MoleculesConfig(Config):
    """Options of `sample:graphs/molecules`, given as data.options in a recipe."""

    train: int = Field(default=2000, ge=1, description="rows to train on")
    test: int = Field(default=500, ge=1, description="rows to score on")
    seed: int = Field(default=0, ge=0, description="another seed, other molecules")
    members: int = Field(default=3, ge=1, description="elements of each of the 4 families, which are used alike")
    noise: float = Field(default=0.02, ge=0, le=1, description="share of the atoms that any other may replace")


class Molecules(Source):
    """Two or three rings of one kind, joined and decorated at random; the kind is the label.

    All kinds have the same atoms and bonds, so counts do not tell them apart. Atoms have 4 * members types. A row is a
    pure function of (seed, split, number).
    """

    Config = MoleculesConfig
    config: MoleculesConfig

    def __init__(self, config: BaseModel, split: str) -> None:
        """Open one split; `ValueError` where there is none of that name."""
        if split not in ROWS:
            raise ValueError(f"molecules has no split {split!r}; it has {', '.join(ROWS)}")
        super().__init__(config, split)

    @classmethod
    def splits(cls, config: BaseModel) -> tuple[str, ...]:
        """The first one is trained on."""
        return ROWS

    def __len__(self) -> int:
        """Number of rows."""
        return self.config.train if self.split == "train" else self.config.test

    @property
    def columns(self) -> Mapping[str, str]:
        """Column name -> type, by which modalities find what they read."""
        return {"molecule": "other", "ring": "label"}

    def row(self, index: int, columns: Sequence[str]) -> Row:
        """The cells that are asked for; row `index` is the same row for ever."""
        if not 0 <= index < len(self):
            raise IndexError(f"molecules has no row {index} in {self.split!r}; it has {len(self)}")
        generator = np.random.default_rng([VERSION, self.config.seed, ROWS.index(self.split), index])
        ring = int(generator.integers(len(RINGS)))
        return {name: ring if name == "ring" else molecule(RINGS[ring], self.config, generator) for name in columns}

    def fingerprint(self) -> str:
        """Changes when any row may have changed."""
        content = f"{VERSION} {self.split} {self.config.model_dump_json()}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def label_names(self, column: str) -> tuple[str, ...] | None:
        """Where the nitrogens stand."""
        return tuple(f"nitrogen-{a}-{b}" for a, b in RINGS) if column == "ring" else None


def molecule(ring: tuple[int, int], config: MoleculesConfig, generator: np.random.Generator) -> dict[str, list[Any]]:
    """{"nodes": [...], "edges": [...]}, its atoms in random order."""
    nodes: list[int] = []
    edges: list[tuple[int, int, int]] = []
    for _ in range(generator.integers(2, 4)):
        first = len(nodes)
        if nodes:
            edges.append((int(generator.integers(first)), first + int(generator.integers(6)), SINGLE))
        nodes += [OXYGEN, *(NITROGEN if place in ring else CARBON for place in range(1, 6))]
        edges += [(first + place, first + (place + 1) % 6, AROMATIC) for place in range(6)]
    for _ in range(generator.integers(2, 7)):
        edges.append((int(generator.integers(len(nodes))), len(nodes), int(generator.choice([SINGLE, DOUBLE]))))
        nodes.append(int(generator.integers(FAMILIES)))
    other = generator.integers(FAMILIES, size=len(nodes))
    families = np.where(generator.random(len(nodes)) < config.noise, other, nodes)
    atoms = families * config.members + generator.integers(config.members, size=len(nodes))
    order = generator.permutation(len(nodes))
    places = order.argsort()
    return {
        "nodes": atoms[order].tolist(),
        "edges": [[int(places[start]), int(places[end]), kind] for start, end, kind in edges],
    }
