"""vision/convnext is transformers' ConvNeXt, cut into stem and stages."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from unlabeled import Batch
from unlabeled.testing import check_encoder, check_export
from unlabeled_vision.encoders.convnext import ConvNext, ConvNextEncoderConfig
from unlabeled_vision.modality import Image, ImageConfig


def build(size: int = 16, **options: object) -> ConvNext:
    config = ConvNextEncoderConfig(**{"hidden_sizes": (8, 12), "depths": (1, 2), **options})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ConvNext(config, Image(ImageConfig(size=size))).eval()


def batch_of(size: int = 16, rows: int = 4, dtype: torch.dtype = torch.float32) -> Batch:
    pixels = torch.rand(rows, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return Batch({"pixel_values": pixels}, torch.arange(rows), torch.ones(rows, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"patch_size": 2, "layer_scale_init_value": 0.1, "drop_path_rate": 0.2}])
def test_equals_the_model(options: dict[str, object], dtype: torch.dtype) -> None:
    encoder = build(**options).to(dtype)

    def reference(batch: Batch) -> Tensor:
        model = encoder.model(encoder.normalize(batch.inputs["pixel_values"]))
        return model.last_hidden_state.flatten(2).transpose(1, 2)

    check_encoder(encoder, batch_of(dtype=dtype), reference)


def test_pooled_features_are_the_models_pooler_output() -> None:
    encoder, batch = build(), batch_of()
    model = encoder.transformers_model()
    with torch.no_grad():
        expected = model(encoder.normalize(batch.inputs["pixel_values"])).pooler_output
        torch.testing.assert_close(encoder.pool(encoder(batch)), expected, rtol=0, atol=1e-6)
    assert expected.shape == (4, encoder.width)


def test_pictures_of_any_size_are_read() -> None:
    encoder = build()
    with torch.no_grad():
        assert encoder.pool(encoder(batch_of(24))).shape == (4, 12)


def test_restore_is_the_inverse_of_export(tmp_path: Path) -> None:
    check_export(build(), batch_of(), tmp_path)


LOAD = """
import sys, torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoImageProcessor, AutoModel
folder, picture, out = sys.argv[1:]
batch = AutoImageProcessor.from_pretrained(folder)(Image.open(picture), return_tensors="pt")
with torch.no_grad():
    features = AutoModel.from_pretrained(folder).eval()(**batch).pooler_output
assert not any(name.startswith("unlabeled") for name in sys.modules)
save_file({"features": features}, out)
"""


def test_export_is_used_by_transformers_alone(tmp_path: Path, photo: np.ndarray) -> None:
    encoder = build()
    encoder.export(tmp_path / "export")
    Pillow.fromarray(photo).save(tmp_path / "photo.png")
    arguments = [tmp_path / "export", tmp_path / "photo.png", tmp_path / "out.safetensors"]
    subprocess.run([sys.executable, "-c", LOAD, *map(str, arguments)], check=True, capture_output=True)
    inputs = encoder.image.collate([encoder.image.decode(photo)])
    with torch.no_grad():
        features = encoder.pool(encoder(Batch(inputs, torch.arange(1), torch.ones(1, dtype=torch.bool))))
    torch.testing.assert_close(load_file(arguments[2])["features"], features, rtol=0, atol=1e-6)


def test_what_it_cannot_do_is_named() -> None:
    encoder = build()
    tokens = encoder.embed(batch_of())
    with pytest.raises(NotImplementedError, match="drop-tokens"):
        encoder.encode(tokens, keep=torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(NotImplementedError, match="layers"):
        encoder.encode(tokens, layers="hidden")
    with pytest.raises(ValidationError, match="as many of one as of the other"):
        build(depths=(1,))
    with pytest.raises(
        ValueError, match="pictures of 16 pixels are too small for patch_size 4 and 4 stages, which need 32"
    ):
        build(hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
