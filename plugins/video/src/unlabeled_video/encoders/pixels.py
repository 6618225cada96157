"""What the encoders of videos share: the modality they need, and its processor in transformers."""

from pathlib import Path

from transformers import VideoMAEImageProcessorPil

from unlabeled import Modality
from unlabeled_video.modality import Video


def clip_modality(modality: Modality, encoder: str) -> Video:
    """The modality, which must be video/video: encoders need its normalisation. `ValueError` otherwise."""
    if not isinstance(modality, Video):
        raise ValueError(f"{encoder} reads video/video, not {type(modality).__name__}")
    return modality


def export_processor(folder: Path, modality: Video) -> None:
    """Write the processor that turns a list of frames (H, W, 3) uint8 into pixel_values (1, T, 3, size, size)."""
    size = modality.config.size
    VideoMAEImageProcessorPil(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=list(modality.config.mean),
        image_std=list(modality.config.std),
    ).save_pretrained(folder)
