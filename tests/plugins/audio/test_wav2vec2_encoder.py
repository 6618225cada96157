"""The adapter equals Wav2Vec2Model, with padding and with dropped tokens, and its export needs nothing of unlabeled."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModel
from transformers.masking_utils import create_bidirectional_mask

from unlabeled import Batch, Modality, View
from unlabeled.testing import check_encoder, check_export, make_view
from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2, Wav2Vec2Config
from unlabeled_audio.waveform import Audio, AudioConfig

Cells = list[dict[str, object]]
Maker = Callable[[Modality, Sequence[object], str], View]
SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16, 16, 12],
    "conv_kernel": [10, 5, 4],
    "conv_stride": [5, 4, 4],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
VARIANTS = [
    {"feat_extract_norm": norm, "do_stable_layer_norm": stable, "attention": attention}
    for norm in ("layer", "group")
    for stable in (False, True)
    for attention in ("sdpa", "eager")
]
variants = pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())))


def built(audio: Audio, **options: object) -> Wav2Vec2:
    torch.manual_seed(0)
    return Wav2Vec2(Wav2Vec2Config(**{**SMALL, **options}), audio)


@variants
def test_equals_the_model_with_padding_and_without(audio: Audio, waveforms: View, options: dict[str, object]) -> None:
    encoder = built(audio, **options).eval()
    dense = make_view({"input_values": waveforms.inputs["input_values"]})

    def reference(batch: Batch) -> Tensor:
        # The model's encoder zeroes padding in place: fresh tensors each time.
        output: Tensor = encoder.model(encoder.normalized(batch), batch.inputs.get("attention_mask")).last_hidden_state
        return output

    for view in (waveforms, dense):
        with torch.no_grad():
            assert torch.equal(encoder(view).values, reference(view))
        if options["feat_extract_norm"] == "layer" or view is dense:
            check_encoder(encoder, view, reference)


@variants
def test_kept_tokens_are_the_layers_on_those_alone(audio: Audio, waveforms: View, options: dict[str, object]) -> None:
    encoder = built(audio, **options).eval()
    keep = torch.stack([torch.randperm(11, generator=torch.Generator().manual_seed(row))[:7] for row in range(4)])
    with torch.no_grad():
        tokens = encoder.embed(waveforms)
        assert tokens.padding is not None
        encoded = encoder.encode(tokens, keep=keep)
        stack = encoder.model.encoder
        values = torch.where(tokens.padding.unsqueeze(2), tokens.values, 0)
        values = values + stack.pos_conv_embed(values)
        values = values if options["do_stable_layer_norm"] else stack.layer_norm(values)
        values = values.gather(1, keep.unsqueeze(2).expand(-1, -1, 24))
        padding = tokens.padding.gather(1, keep)
        mask = create_bidirectional_mask(config=encoder.model.config, inputs_embeds=values, attention_mask=padding)
        for layer in stack.layers:
            values = layer(values, attention_mask=mask)
        values = stack.layer_norm(values) if options["do_stable_layer_norm"] else values
    assert torch.equal(encoded.values, values)
    assert encoded.padding is not None
    assert torch.equal(encoded.padding, padding)


def test_layout_agrees_with_the_model(audio: Audio, waveforms: View) -> None:
    encoder = built(audio).eval()
    layout = encoder.layout(waveforms)
    mask = encoder.model._get_feature_vector_attention_mask(layout.tokens, waveforms.inputs["attention_mask"])
    assert torch.equal(layout.maskable, mask)
    assert layout.lengths.tolist() == mask.sum(dim=1).tolist()
    tiny = waveforms.with_inputs(attention_mask=(torch.arange(4800) < 3).long().expand(4, -1))
    assert encoder.layout(tiny).lengths.tolist() == [1, 1, 1, 1]


def test_layer_norm_makes_rows_independent_of_padding(audio: Audio, waveforms: View) -> None:
    encoder = built(audio).eval()
    longer = {name: torch.nn.functional.pad(value, (0, 1600)) for name, value in waveforms.inputs.items()}
    with torch.no_grad():
        short, long = encoder(waveforms), encoder(make_view(longer))
    assert short.padding is not None
    for row, length in enumerate(short.padding.sum(dim=1).tolist()):
        assert torch.allclose(short.values[row, :length], long.values[row, :length], atol=1e-5)


def test_replaced_tokens_hold_the_mask_embedding(audio: Audio, waveforms: View) -> None:
    encoder = built(audio)
    tokens = encoder.embed(waveforms)
    mask = torch.zeros(tokens.values.shape[:2], dtype=torch.bool)
    mask[:, 3:6] = True
    replaced = encoder.replace(tokens, mask).values
    assert torch.equal(replaced[:, 4], encoder.model.masked_spec_embed.expand(4, -1))
    assert torch.equal(replaced[~mask], tokens.values[~mask])


def test_local_features_are_those_around_the_norm(audio: Audio, waveforms: View) -> None:
    encoder = built(audio).eval()
    tokens = encoder.embed(waveforms)
    expected = encoder.model(encoder.normalized(waveforms)).extract_features
    assert torch.equal(tokens.features["local"], expected)
    norm = encoder.model.feature_projection.layer_norm
    assert torch.equal(norm(tokens.features["local-raw"]), expected)
    assert tokens.features["local"].shape[2] == encoder.local_width


def test_gradient_of_the_convolutions_is_scaled_and_nothing_else(audio: Audio, waveforms: View) -> None:
    gradients = {}
    for scale in (1.0, 0.1, 0.0):
        encoder = built(audio, convolution_gradient=scale).double()
        tokens = encoder.embed(waveforms)
        (encoder.encode(tokens).values.square().sum() + tokens.features["local-raw"].square().sum()).backward()
        gradients[scale] = {
            name: value.grad for name, value in encoder.model.named_parameters() if value.grad is not None
        }
    for name, value in gradients[1.0].items():
        for scale in (0.1, 0.0):
            factor = scale if name.startswith("feature_extractor") else 1.0
            assert torch.allclose(gradients[scale][name], factor * value, atol=1e-12)


def test_branches_are_what_each_layer_adds(audio: Audio, waveforms: View) -> None:
    encoder = built(audio, do_stable_layer_norm=True).eval().double()
    with torch.no_grad():
        tokens = encoder.embed(waveforms)
        hidden = encoder.encode(tokens, layers="hidden").layers
        branch = encoder.encode(tokens, layers="branch").layers
    assert len(hidden) == len(branch) == 2
    layer = encoder.model.encoder.layers[1]
    mask = encoder.layout(waveforms).maskable
    wide = create_bidirectional_mask(config=encoder.model.config, inputs_embeds=hidden[0], attention_mask=mask)
    with torch.no_grad():
        attended = hidden[0] + layer.attention(layer.layer_norm(hidden[0]), attention_mask=wide)[0]
    assert torch.allclose(hidden[1], attended + branch[1], atol=1e-12)


def test_prefix_tokens_go_through_the_layers(audio: Audio, waveforms: View) -> None:
    encoder = built(audio).eval()
    tokens = encoder.embed(waveforms).prepend(torch.zeros(4, 2, 24))
    encoded = encoder.encode(tokens, layers="hidden")
    assert encoded.prefix is not None
    assert encoded.prefix.shape == (4, 2, 24)
    assert encoded.values.shape == tokens.values.shape == encoded.layers[0].shape


@pytest.mark.parametrize("normalize", [True, False])
def test_export_loads_without_unlabeled(cells: Cells, view_of: Maker, tmp_path: Path, normalize: bool) -> None:
    audio = Audio(AudioConfig(sampling_rate=8000, clip=0.6, evaluation_clip=1.0, normalize=normalize))
    encoder = built(audio).eval()
    view = view_of(audio, cells, "plain")
    check_export(encoder, view, tmp_path)
    model = AutoModel.from_pretrained(tmp_path).eval()
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    sounds = [np.asarray(cell["array"]) for cell in cells]
    inputs = extractor(sounds, sampling_rate=8000, padding=True, return_tensors="pt")
    with torch.no_grad():
        values, encoded = model(**inputs).last_hidden_state, encoder(view)
    assert encoded.padding is not None
    assert torch.allclose(values[encoded.padding], encoded.values[encoded.padding], atol=1e-6)


def test_wrong_options(audio: Audio) -> None:
    for options, reason in (
        ({"num_attention_heads": 5}, "num_attention_heads=5"),
        ({"num_conv_pos_embedding_groups": 5}, "num_conv_pos_embedding_groups=5"),
        ({"conv_stride": [5, 4]}, "of one length"),
        ({"hidden_dropout": 1.0}, "hidden_dropout"),
    ):
        with pytest.raises(ValidationError, match=reason):
            Wav2Vec2Config(**{**SMALL, **options})
    with pytest.raises(ValueError, match="no two tokens"):
        built(Audio(AudioConfig(sampling_rate=1000, clip=0.1)))
