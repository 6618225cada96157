"""The joint export is used by transformers alone, and gives the features that were trained."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from unlabeled import Batch, Draws, Encoder, Facts, Modality
from unlabeled_crossmodal.clip import CLIP, CLIPConfig
from unlabeled_text.encoders.bert import Bert, BertConfig
from unlabeled_text.modality import Text, TextConfig
from unlabeled_vision.encoders.convnext import ConvNext, ConvNextEncoderConfig
from unlabeled_vision.encoders.resnet import ResNet, ResNetEncoderConfig
from unlabeled_vision.encoders.vit import ViT, ViTEncoderConfig
from unlabeled_vision.modality import Image, ImageConfig

TEXTS = ["a small red fox", "two dogs", "a red house behind a small garden with dogs"]
SIZE = 16

LOAD = """
import sys, torch
from PIL import Image
from safetensors.torch import save_file
from transformers import VisionTextDualEncoderModel, VisionTextDualEncoderProcessor
folder, out, *names = sys.argv[1:]
images, texts = names[:len(names) // 2], names[len(names) // 2:]
model = VisionTextDualEncoderModel.from_pretrained(folder).eval()
processor = VisionTextDualEncoderProcessor.from_pretrained(folder)
batch = processor(text=texts, images=[Image.open(name) for name in images], return_tensors="pt", padding=True)
with torch.no_grad():
    found = {
        "image": model.get_image_features(pixel_values=batch["pixel_values"]).pooler_output,
        "text": model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output,
        "logits": model(**batch).logits_per_image,
    }
assert not any(name.startswith("unlabeled") for name in sys.modules)
save_file({name: value.contiguous() for name, value in found.items()}, out)
"""


@pytest.fixture(scope="module")
def text() -> Text:
    modality = Text(TextConfig(vocabulary_size=80, max_length=16))
    modality.fit(TEXTS)
    return modality


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Files of three sizes; the smallest is the canvas."""
    paths = []
    for number, shape in enumerate([(SIZE, SIZE), (30, 20), (17, 40)]):
        colors = np.random.default_rng(number).integers(0, 256, (*shape, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Pillow.fromarray(colors).save(paths[-1])
    return paths


def convnext(image: Image) -> ConvNext:
    return ConvNext(ConvNextEncoderConfig(hidden_sizes=(8, 12), depths=(1, 2)), image)


def vit(image: Image) -> ViT:
    options = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "pool": "pooler"}
    return ViT(ViTEncoderConfig(**options), image)


def bert(text: Text, pool: str = "pooler") -> Bert:
    return Bert(BertConfig(hidden_size=32, heads=4, pool=pool), text)


def export(encoders: dict[str, Encoder], folder: Path) -> tuple[CLIP, tuple[str, ...]]:
    """Every encoder's own export, then what CLIP adds, as the trainer does it."""
    for name, encoder in encoders.items():
        encoder.eval().export(folder / name)
    clip = CLIP(CLIPConfig(projection=10, temperature=0.2), encoders, Facts(10, 5, 1, 1.0))
    return clip, tuple(clip.export(folder, encoders))


def projected(clip: CLIP, name: str, encoder: Encoder, modality: Modality, cells: list[object]) -> torch.Tensor:
    """(B, P) as evaluation has it."""
    ids = torch.arange(len(cells))
    samples = [modality.take(modality.decode(cell), Draws(0, 0, ids[:1]), "plain") for cell in cells]
    inputs = modality.collate(samples)
    inputs.pop("words", None)
    batch = Batch(inputs, ids, torch.ones(len(cells), dtype=torch.bool))
    with torch.no_grad():
        return clip.embed(name, encoder.pool(encoder(batch)))


@pytest.mark.parametrize("build", [convnext, vit])
@pytest.mark.parametrize("order", [("photo", "words"), ("words", "photo")])
def test_export_is_used_by_transformers_alone(
    build: Callable[[Image], Encoder], order: tuple[str, str], text: Text, pictures: list[Path], tmp_path: Path
) -> None:
    image = Image(ImageConfig(size=SIZE))
    both = {"photo": build(image), "words": bert(text)}
    encoders = {name: both[name] for name in order}
    clip, written = export(encoders, tmp_path / "export")
    assert written == ("dual-encoder",)
    out = tmp_path / "out.safetensors"
    arguments = [tmp_path / "export" / "dual-encoder", out, *pictures, *TEXTS]
    subprocess.run([sys.executable, "-c", LOAD, *map(str, arguments)], check=True, capture_output=True)
    found = load_file(out)
    cells: list[object] = [path.read_bytes() for path in pictures]
    images = projected(clip, "photo", both["photo"], image, cells)
    texts = projected(clip, "words", both["words"], text, list(TEXTS))
    for expected, name in ((images, "image"), (texts, "text")):
        features = torch.nn.functional.normalize(found[name], dim=1)
        torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found["logits"], images @ texts.T / 0.2, rtol=0, atol=1e-4)


def test_other_encoders_are_exported_alone(text: Text, tmp_path: Path) -> None:
    image = Image(ImageConfig(size=32))
    resnet = ResNet(ResNetEncoderConfig(embedding_size=8, hidden_sizes=(8,), depths=(1,)), image)
    for number, encoders in enumerate(
        [
            {"photo": resnet, "words": bert(text)},
            {"photo": convnext(image), "words": bert(text, pool="mean")},
            {"photo": convnext(image), "words": bert(text), "more": bert(text)},
            {"photo": convnext(image), "other": convnext(image)},
        ]
    ):
        folder = tmp_path / str(number)
        assert export(encoders, folder)[1] == ()
        assert not (folder / "dual-encoder").exists()


def test_training_goes_on_untouched_by_the_export(text: Text, tmp_path: Path) -> None:
    encoders = {"photo": convnext(Image(ImageConfig(size=SIZE))), "words": bert(text)}
    before = {name: copy(encoder) for name, encoder in encoders.items()}
    export(encoders, tmp_path)
    for name, encoder in encoders.items():
        assert copy(encoder).keys() == before[name].keys()
        assert all(torch.equal(value, before[name][key]) for key, value in copy(encoder).items())
    assert not hasattr(encoders["photo"].transformers_model().config, "hidden_size")


def copy(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in encoder.state_dict().items()}
