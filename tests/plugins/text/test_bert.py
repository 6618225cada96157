"""text/bert is transformers' BERT, cut into embed and encode."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from unlabeled import Batch, Encoded, View, gather_tokens
from unlabeled.testing import check_encoder, check_export
from unlabeled_text.encoders.bert import Bert, BertConfig
from unlabeled_text.modality import Text, TextConfig

BUILDS: list[dict[str, Any]] = [
    {},
    {"attention": "eager", "pool": "class"},
    {"initial_positions": "sinusoidal", "intermediate_size": 40, "positions": 64},
]


@pytest.fixture(params=BUILDS, ids=["sdpa", "eager", "sinusoidal"])
def built(request: pytest.FixtureRequest, text: Text) -> Bert:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Bert(BertConfig(hidden_size=32, layers=3, heads=4, **request.param), text).eval()


def reference(encoder: Bert, batch: Batch) -> Tensor:
    return encoder.model.bert.eval()(**batch.inputs).last_hidden_state


def whole(encoded: Encoded) -> Tensor:
    assert encoded.prefix is not None
    return torch.cat([encoded.prefix, encoded.values], dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_model_with_and_without_padding(
    built: Bert, text: Text, view_of: Any, texts: list[str], dtype: Any
) -> None:
    built = built.to(dtype)
    for cells in (texts, [texts[0], texts[0]]):
        view = view_of(text, cells)
        with torch.no_grad():
            assert (whole(built(view)) - reference(built, view)).abs().max() == 0.0


def test_keeps_every_promise_of_an_encoder(built: Bert, text: Text, view_of: Any, texts: list[str]) -> None:
    check_encoder(built, view_of(text, texts), lambda batch: reference(built, batch))
    check_encoder(built, view_of(text, [texts[0], texts[0]]), lambda batch: reference(built, batch))


def test_kept_tokens_equal_the_model_on_their_embeddings(
    built: Bert, text: Text, view_of: Any, texts: list[str]
) -> None:
    view = view_of(text, [texts[0], texts[1], texts[3]])
    keep = torch.tensor([[8, 1, 4], [0, 5, 11], [1, 0, 7]])
    with torch.no_grad():
        tokens = built.embed(view)
        encoded = built.encode(tokens, keep=keep)
        assert tokens.padding is not None and tokens.prefix is not None and encoded.padding is not None
        kept = torch.cat([tokens.prefix, gather_tokens(tokens.values, keep)], dim=1)
        mask = torch.cat([torch.ones(3, 1, dtype=torch.int64), tokens.padding.gather(1, keep).to(torch.int64)], dim=1)
        # The model adds positions to what it is given, so its encoder is asked, with its own way of making masks.
        attention, _ = built.model.bert._create_attention_masks(mask, None, kept, None, None)
        expected = built.model.bert.encoder(kept, attention_mask=attention).last_hidden_state
    assert (whole(encoded) - expected).abs().max() == 0.0
    assert encoded.padding.tolist() == tokens.padding.gather(1, keep).tolist()


def test_replaced_tokens_are_what_mask_ids_embed_to(built: Bert, text: Text, view_of: Any, texts: list[str]) -> None:
    view = view_of(text, texts)
    mask = built.layout(view).maskable & (torch.arange(view.inputs["input_ids"].shape[1] - 1) % 3 == 0)
    ids = view.inputs["input_ids"].clone()
    ids[:, 1:][mask] = text.mask_id
    with torch.no_grad():
        replaced = built.replace(built.embed(view), mask).values
        assert (replaced - built.embed(view.with_inputs(input_ids=ids)).values).abs().max() == 0.0


def test_layers_are_hidden_states_and_branches_what_the_feed_forward_adds(
    built: Bert, text: Text, view_of: Any, texts: list[str]
) -> None:
    view = view_of(text, texts)
    with torch.no_grad():
        expected = built.model.bert(**view.inputs, output_hidden_states=True).hidden_states[1:]
        tokens = built.embed(view)
        hidden = built.encode(tokens, layers="hidden").layers
        branches = built.encode(tokens, layers="branch").layers
        assert len(hidden) == len(branches) == 3
        for one, other in zip(hidden, expected, strict=True):
            assert (one - other[:, 1:]).abs().max() == 0.0
        layer = built.model.bert.encoder.layer[0]
        attention, _ = built.model.bert._create_attention_masks(
            view.inputs["attention_mask"], None, whole(Encoded(tokens.values, tokens.prefix)), None, None
        )
        seen: list[Tensor] = []
        hook = layer.intermediate.register_forward_hook(lambda module, inputs, output: seen.append(output))
        layer(whole(Encoded(tokens.values, tokens.prefix)), attention)
        hook.remove()
        assert (layer.output.dense(seen[0])[:, 1:] - branches[0]).abs().max() == 0.0
    assert not layer.output.dense._forward_hooks


def test_vocabulary_logits_are_those_of_the_masked_language_model(
    built: Bert, text: Text, view_of: Any, texts: list[str]
) -> None:
    view = view_of(text, texts)
    with torch.no_grad():
        expected = built.model.eval()(**view.inputs).logits[:, 1:]
        chosen = built.layout(view).maskable
        logits = built.vocabulary_logits(built(view).values[chosen])
    assert logits.shape == (int(chosen.sum()), text.vocabulary_size)
    torch.testing.assert_close(logits, expected[chosen], rtol=1e-6, atol=1e-6)


def test_decoder_is_tied_to_the_word_embeddings(bert: Bert) -> None:
    head = bert.model.cls.predictions
    assert head.decoder.weight is bert.model.bert.embeddings.word_embeddings.weight
    assert head.decoder.bias is head.bias
    assert len({parameter.data_ptr() for parameter in bert.parameters()}) == len(list(bert.parameters()))


def test_layout_excludes_special_tokens_and_padding(bert: Bert, text: Text, view_of: Any) -> None:
    layout = bert.layout(view_of(text, ["lazy [MASK] fox", "fox", ""]))
    assert layout.grid == (4,)
    assert layout.lengths.tolist() == [4, 2, 1]
    assert layout.maskable.tolist() == [[True, False, True, False], [True, False, False, False], [False] * 4]
    assert layout.groups is not None and layout.groups.shape == (3, 4)


def test_pools_are_the_usual_ones(text: Text, view_of: Any, texts: list[str]) -> None:
    view = view_of(text, texts)
    for pool in ("mean", "class"):
        encoder = Bert(BertConfig(hidden_size=32, heads=4, pool=pool), text).eval()
        with torch.no_grad():
            hidden = reference(encoder, view)
            pooled = encoder.pool(encoder(view))
        weight = view.inputs["attention_mask"].unsqueeze(-1)
        expected = hidden[:, 0] if pool == "class" else (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        torch.testing.assert_close(pooled, expected, rtol=1e-6, atol=1e-6)


def test_neighbours_do_not_change_a_row(bert: Bert, text: Text, view_of: Any, texts: list[str]) -> None:
    with torch.no_grad():
        batched = bert.eval().pool(bert(view_of(text, texts)))
        for row, cell in enumerate(texts):
            alone = bert.pool(bert(view_of(text, [cell])))
            torch.testing.assert_close(batched[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_sinusoidal_positions_start_as_large_as_normal_ones(text: Text) -> None:
    encoder = Bert(BertConfig(hidden_size=32, heads=4, initial_positions="sinusoidal"), text)
    weight = encoder.model.bert.embeddings.position_embeddings.weight.detach()
    assert float(weight.pow(2).mean().sqrt()) == pytest.approx(0.02, rel=1e-5)
    scale = 0.02 * 2**0.5
    place, pair = 7, 3
    angle = torch.tensor(place / 10000 ** (2 * pair / 32))
    torch.testing.assert_close(weight[place, 2 * pair], angle.sin() * scale)
    torch.testing.assert_close(weight[place, 2 * pair + 1], angle.cos() * scale)
    assert encoder.model.bert.embeddings.position_embeddings.weight.requires_grad


def test_restore_brings_back_what_export_wrote(
    built: Bert, text: Text, view_of: Any, texts: list[str], tmp_path: Path
) -> None:
    check_export(built, view_of(text, texts), tmp_path)


LOAD = """
import sys, torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
folder, out, *texts = sys.argv[1:]
batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    hidden = AutoModel.from_pretrained(folder).eval()(**batch).last_hidden_state
    logits = AutoModelForMaskedLM.from_pretrained(folder).eval()(**batch).logits
assert not any(name.startswith("unlabeled") for name in sys.modules)
from safetensors.torch import save_file
save_file({"hidden": hidden, "logits": logits, **batch}, out)
"""


def test_export_is_used_by_transformers_alone(
    bert: Bert, text: Text, view_of: Any, texts: list[str], tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    bert.eval().export(tmp_path / "export")
    out = tmp_path / "out.safetensors"
    subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "export"), str(out), *texts], check=True, capture_output=True
    )
    found = load_file(out)
    view: View = view_of(text, texts)
    assert torch.equal(found["input_ids"], view.inputs["input_ids"])
    with torch.no_grad():
        encoded = bert(view)
        torch.testing.assert_close(found["hidden"], whole(encoded), rtol=1e-6, atol=1e-6)
        logits = bert.vocabulary_logits(encoded.values.flatten(0, 1)).view_as(found["logits"][:, 1:])
        torch.testing.assert_close(found["logits"][:, 1:], logits, rtol=1e-6, atol=1e-6)


def test_special_tokens_of_a_loaded_tokenizer_reach_the_model(text: Text, tmp_path: Path) -> None:
    tokenizer = text.tokenizer
    tokenizer.save_pretrained(tmp_path)
    modality = Text(TextConfig(tokenizer=str(tmp_path), max_length=24))
    modality.fit([])
    encoder = Bert(BertConfig(hidden_size=32, heads=4), modality)
    assert encoder.model.config.pad_token_id == tokenizer.pad_token_id
    assert encoder.model.config.vocab_size == len(tokenizer)


def test_impossible_sizes_say_why(text: Text) -> None:
    with pytest.raises(ValidationError, match="hidden_size 30 is no multiple of heads 4"):
        BertConfig(hidden_size=30, heads=4)
    with pytest.raises(ValueError, match="positions 16 is less than the modality's max_length 24"):
        Bert(BertConfig(positions=16), text)


def test_manifest_declares_what_the_class_provides() -> None:
    manifest = (Path(__file__).parents[3] / "plugins/text/src/unlabeled_text/unlabeled.toml").read_text()
    declared = re.search(r'id = "bert".*?provides = \[(.*?)\]', manifest, re.DOTALL)
    assert declared is not None
    assert set(re.findall(r'"(.*?)"', declared[1])) == Bert.provides
