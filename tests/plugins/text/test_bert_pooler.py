"""text/bert with `pool: pooler` is transformers' BertModel with its pooler, and still a masked language model."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from unlabeled.testing import check_encoder, check_export
from unlabeled_text.encoders.bert import Bert, BertConfig
from unlabeled_text.modality import Text


@pytest.fixture
def pooled_bert(text: Text) -> Bert:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Bert(BertConfig(hidden_size=32, layers=2, heads=4, pool="pooler"), text).eval()


def test_keeps_every_promise_of_an_encoder(pooled_bert: Bert, text: Text, view_of: Any, texts: list[str]) -> None:
    model = pooled_bert.transformers_model()
    check_encoder(pooled_bert, view_of(text, texts), lambda batch: model(**batch.inputs).last_hidden_state)


@pytest.mark.parametrize("rows", [slice(0, 5), slice(0, 1)], ids=["padded", "alone"])
def test_features_are_the_poolers_output(
    rows: slice, pooled_bert: Bert, text: Text, view_of: Any, texts: list[str]
) -> None:
    view = view_of(text, texts[rows])
    with torch.no_grad():
        expected = pooled_bert.transformers_model().eval()(**view.inputs).pooler_output
        assert torch.equal(pooled_bert.pool(pooled_bert(view)), expected)


def test_new_poolers_tell_texts_apart(text: Text, view_of: Any) -> None:
    view = view_of(text, ["the quick brown fox", "lazy dogs", "nobody will jump again"])
    spread = {}
    for pool in ("class", "pooler"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = Bert(BertConfig(hidden_size=64, heads=4, pool=pool), text)
        with torch.no_grad():
            features = torch.nn.functional.normalize(encoder.pool(encoder(view)), dim=1)
        spread[pool] = features.std(dim=0).norm().item()
    assert spread["pooler"] > 0.1 > 5 * spread["class"]


def test_other_pools_have_no_model_that_gives_them(text: Text) -> None:
    for pool in ("mean", "class"):
        assert Bert(BertConfig(hidden_size=32, heads=4, pool=pool), text).transformers_model() is None


def test_restore_brings_back_what_export_wrote(
    pooled_bert: Bert, text: Text, view_of: Any, texts: list[str], tmp_path: Path
) -> None:
    check_export(pooled_bert, view_of(text, texts), tmp_path)


LOAD = """
import sys, torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
folder, out, *texts = sys.argv[1:]
batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    pooled = AutoModel.from_pretrained(folder).eval()(**batch).pooler_output
    logits = AutoModelForMaskedLM.from_pretrained(folder).eval()(**batch).logits
assert not any(name.startswith("unlabeled") for name in sys.modules)
from safetensors.torch import save_file
save_file({"pooled": pooled, "logits": logits}, out)
"""


def test_export_is_used_by_transformers_alone(
    pooled_bert: Bert, text: Text, view_of: Any, texts: list[str], tmp_path: Path
) -> None:
    pooled_bert.export(tmp_path / "export")
    out = tmp_path / "out.safetensors"
    arguments = [sys.executable, "-c", LOAD, str(tmp_path / "export"), str(out), *texts]
    subprocess.run(arguments, check=True, capture_output=True)
    found = load_file(out)
    with torch.no_grad():
        encoded = pooled_bert(view_of(text, texts))
        torch.testing.assert_close(found["pooled"], pooled_bert.pool(encoded), rtol=0, atol=1e-6)
        logits = pooled_bert.vocabulary_logits(encoded.values.flatten(0, 1)).view_as(found["logits"][:, 1:])
    torch.testing.assert_close(found["logits"][:, 1:], logits, rtol=1e-6, atol=1e-6)
