"""The built-in sample world, `sample:world`: small scenes seen by every modality, made on the fly."""

from unlabeled_standard.world.source import World, WorldConfig

__all__ = ["World", "WorldConfig"]
