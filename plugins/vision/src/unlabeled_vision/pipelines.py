"""The augmentations of the roles, with the constants of the papers.

weak: masked autoencoders (He et al., 2022, table 8): crop and flip only.
strong: SimCLR (Chen et al., 2020, appendix A); up to 32 pixels as its appendix B.9 has it for CIFAR-10: half the colour
strength and no blur.
global, local: DINO (Caron et al., 2021, section 3 and its reference settings) with the colours, blur and solarization of
BYOL (Grill et al., 2020, appendix B); the two global views differ as there.
"""

from unlabeled import ComponentSpec

SMALL = 32


def pipelines(size: int, local_size: int | None) -> dict[str, list[ComponentSpec]]:
    """Role -> transforms, for pictures of `size` pixels a side."""
    small = size <= SMALL
    if local_size is None:
        local_size = 16 * max(1, round(size * 96 / 224 / 16))
    flip = {"id": "vision/flip"}
    gray = {"id": "vision/grayscale", "probability": 0.2}
    strength = 0.5 if small else 1.0
    simclr_colors = _jitter(0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
    byol_colors = _jitter(0.4, 0.4, 0.2, 0.1)
    solarize = {"id": "vision/solarize", "probability": [0.0, 0.2]}

    def blur(*probability: float) -> list[ComponentSpec]:
        return [] if small else [{"id": "vision/blur", "probability": list(probability)}]

    return {
        "weak": [{"id": "vision/resized-crop", "scale": [0.2, 1.0], "resample": "bicubic"}, flip],
        "strong": [{"id": "vision/resized-crop"}, flip, simclr_colors, gray, *blur(0.5)],
        "global": [
            {"id": "vision/resized-crop", "scale": [0.4, 1.0], "resample": "bicubic"},
            flip,
            byol_colors,
            gray,
            *blur(1.0, 0.1),
            solarize,
        ],
        "local": [
            {"id": "vision/resized-crop", "scale": [0.05, 0.4], "size": local_size, "resample": "bicubic"},
            flip,
            byol_colors,
            gray,
            *blur(0.5),
        ],
    }


def _jitter(brightness: float, contrast: float, saturation: float, hue: float) -> ComponentSpec:
    return {
        "id": "vision/color-jitter",
        "probability": 0.8,
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
        "hue": hue,
    }
