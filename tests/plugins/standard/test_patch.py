"""The patch encoder works on arrays of any dimension."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from unlabeled import Config, Modality, Sample
from unlabeled.testing import check_encoder, check_export, make_view
from unlabeled_standard.encoders.patch import Patch, PatchConfig

Build = Callable[..., Patch]
Values = Callable[..., Tensor]


@pytest.mark.parametrize(
    ("shape", "patch", "grid"),
    [((3, 12), 4, (3,)), ((3, 8, 6), (4, 2), (2, 3)), ((2, 4, 6, 8), (2, 3, 4), (2, 2, 2))],
    ids=["series", "image", "video"],
)
@pytest.mark.parametrize("options", [{}, {"class_token": False}, {"pool": "class"}], ids=["plain", "bare", "class"])
def test_conformance(
    shape: tuple[int, ...], patch: Any, grid: tuple[int, ...], options: Any, build_patch: Build, random_values: Values
) -> None:
    encoder = build_patch(shape, patch=patch, **options)
    view = make_view({"values": random_values(4, *shape)})
    check_encoder(encoder, view)
    check_encoder(encoder.double(), make_view({"values": random_values(4, *shape).double()}), tolerance=1e-12)
    assert encoder.layout(view).grid == grid


def test_export(build_patch: Build, random_values: Values, tmp_path: Any) -> None:
    check_export(build_patch((3, 8, 8)), make_view({"values": random_values(2, 3, 8, 8)}), tmp_path / "export")


def test_patches_hold_the_values_at_their_place(build_patch: Build) -> None:
    values = torch.arange(2 * 3 * 4 * 6, dtype=torch.float32).reshape(2, 3, 4, 6)
    patches = build_patch((3, 4, 6), patch=(2, 3)).patches(make_view({"values": values}))
    for row in range(2):
        for token, (top, left) in enumerate([(0, 0), (0, 3), (2, 0), (2, 3)]):
            block = values[row, :, top : top + 2, left : left + 3]
            expected = [float(block[channel, y, x]) for y in range(2) for x in range(3) for channel in range(3)]
            assert patches[row, token].tolist() == expected


def test_kept_tokens_see_only_each_other(build_patch: Build, random_values: Values) -> None:
    encoder = build_patch((3, 8, 8)).eval()
    values = random_values(2, 3, 8, 8)
    changed = values.clone()
    changed[:, :, 4:] += 1.0
    keep = torch.tensor([[0, 3, 6], [1, 2, 7]])
    first = encoder.encode(encoder.embed(make_view({"values": values})), keep=keep)
    other = encoder.encode(encoder.embed(make_view({"values": changed})), keep=keep)
    assert torch.equal(first.values, other.values)


def test_channels_may_lie_elsewhere(random_values: Values) -> None:
    class Frames(Modality):
        input_name = "values"

        @property
        def input_shape(self) -> tuple[int, ...]:
            return (4, 3, 6)

        def decode(self, cell: Any) -> Sample:
            return {"values": cell}

    class Last(Frames):
        channel_axis = 3

    class Missing(Frames):
        channel_axis = None

    config = PatchConfig(patch=(2, 3), width=8, layers=1, heads=2)
    view = make_view({"values": random_values(3, 4, 3, 6)})
    last = Patch(config, Last(Config()))
    check_encoder(last, view)
    assert last.layout(view).grid == (2, 1)
    missing = Patch(PatchConfig(patch=(2, 3, 2), width=8, layers=1, heads=2), Missing(Config()))
    check_encoder(missing, view)
    assert missing.layout(view).grid == (2, 1, 3)


def test_wrong_options_are_told(build_patch: Build) -> None:
    with pytest.raises(ValueError, match="patch 3 does not divide the input's size 8"):
        build_patch((3, 8, 8), patch=3)
    with pytest.raises(ValueError, match="patch has 3 sizes where the input has 2 axes"):
        build_patch((3, 8, 8), patch=(2, 2, 2))
    with pytest.raises(ValueError, match="width 13 is no multiple of heads 2"):
        build_patch((3, 8, 8), width=13)
    with pytest.raises(ValueError, match="class_token"):
        build_patch((3, 8, 8), pool="class", class_token=False)
