"""The same tokenizer is required: what counts as another one, and what the refusal says.

Models from folders of text.
"""

from __future__ import annotations

import json

import pytest
import torch

import modelstitch as ms
import texts
from modelstitch.data.data import Data
from modelstitch.data.readers.tokenizer import Tokenizer
from modelstitch.data.subsets import Tokens
from modelstitch.errors import DataError, SourceError
from modelstitch.models.token_view import TokenView, check_text


def made(folder, **options):
    texts.tokenizer(folder, **options)
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return made(tmp_path_factory.mktemp("own"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"words": (*texts.WORDS, "cow")}, "their vocabularies have 23 and 24 tokens"),
        ({"words": (*texts.WORDS[:-1], "cow")}, "the token 'again' is 22 in one and missing in the other"),
        ({"words": texts.WORDS[::-1]}, "the token '.' is 7 in one and 20 in the other"),
        ({"around": True}, "they put other special tokens around a text"),
    ],
)
def test_differences_are_told(own, tmp_path, change, words):
    other = made(tmp_path, **change)
    assert own.difference(other) == words
    assert (own.fingerprint == other.fingerprint) == (not words)


def test_other_special_tokens_and_another_way_to_split_are_differences(own, tmp_path):
    folder = tmp_path / "pad"
    texts.tokenizer(folder)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "pad_token": "[UNK]"}))
    assert own.difference(Tokenizer.load(folder)) == "their pad tokens are 0 and 1"
    words = (*texts.WORDS[:-1], "Again")
    one, lower = made(tmp_path / "one", words=words), made(tmp_path / "lower", words=words, lower=True)
    assert one.difference(lower).startswith("they split 'the a .")


def samples(n=4):
    ids = torch.arange(4 * n).reshape(n, 4) % 20
    return Tokens(ids, torch.ones_like(ids), ids)


class Named:
    """What the check looks at of a network."""

    def __init__(self, name, tokenizer, task="causal-lm"):
        self.name, self.view, self.has_head = name, TokenView(("input_ids",), task, tokenizer, 4), True


def test_networks_are_checked_against_the_data_and_each_other(own, tmp_path):
    other = made(tmp_path, words=(*texts.WORDS, "cow"))
    plain = Data(samples(), samples(5), samples(6), name="own tokens")
    check_text([Named("a", own), Named("b", own)], plain)
    with pytest.raises(
        DataError, match=r"The network 'a' and the network 'b' have different tokenizers \(their vocab.*23 and 24"
    ):
        check_text([Named("a", own), Named("b", other)], plain)
    with pytest.raises(DataError, match=r"The network 'b' has no tokenizer in its folder: expected one"):
        check_text([Named("a", own), Named("b", None)], plain)
    file = tmp_path / "corpus.txt"
    file.write_text(" ".join(texts.corpus(30)))
    data = ms.load_data(f"text:{file}?length=4", tokenizer=tmp_path)
    with pytest.raises(DataError, match=r"The data 'corpus.txt' and the network 'a' have different tokenizers"):
        check_text([Named("a", own)], data)
    with pytest.raises(
        DataError, match=r"made for masked-lm, the labels of 'corpus.txt' for causal-lm: expected the same task"
    ):
        check_text([Named("b", other, "masked-lm")], data)


def test_code_in_a_tokenizer_is_refused(tmp_path):
    texts.tokenizer(tmp_path)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoTokenizer": ["x.Y", None]}}))
    with pytest.raises(SourceError, match="needs trust_remote_code: refused"):
        Tokenizer.load(tmp_path)


def test_a_broken_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(SourceError, match=r"The tokenizer of .* cannot be read .*expected files that save_pretrained"):
        Tokenizer.load(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2 with its tokenizer."""
    here = tmp_path_factory.mktemp("gpt2")
    texts.tokenizer(here)
    texts.small("gpt2", 0, layers=1, positions=24).save_pretrained(here)
    return here


@pytest.mark.slow
def test_a_folder_brings_network_tokenizer_and_length(folder, tmp_path):
    net = ms.load(f"hf:{folder}?size=6")
    assert net.view.describe() == {
        "view": "tokens",
        "names": ["input_ids", "attention_mask"],
        "task": "causal-lm",
        "length": 6,
        "tokenizer": Tokenizer.load(folder).fingerprint,
    }
    file = tmp_path / "corpus.txt"
    file.write_text(" ".join(texts.corpus(30)))
    data = ms.load_data(f"text:{file}", tokenizer=net)
    assert data.text.length == 6
    batch = next(data.batches("val", 2))
    own = texts.small("gpt2", 0, layers=1, positions=24)(**batch.inputs).logits
    torch.testing.assert_close(net(net.view(batch.inputs)), own)
    longer = ms.load_data(f"text:{file}?length=7", tokenizer=net)
    with pytest.raises(
        DataError, match=r"traced with 6 tokens, the data have 7: expected the same; load it with '\?size=7'"
    ):
        ms.stitch(net, net, "transformer.h.0", longer, objective="match")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?size=25", r"has 24 positions, the texts have 25 tokens: expected no more; shorten them with '\?length=24'"),
        ("?task=text-classification", "leave 1 parameters random .score.weight.: expected all of them"),
        ("?task=poetry", "The task 'poetry' is unknown"),
        ("?size=none", "The option size=none of .* cannot be used"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(folder, query, message):
    with pytest.raises(SourceError, match=message):
        ms.load(f"hf:{folder}{query}")


def test_positions_of_roberta_are_counted_from_behind_its_padding(tmp_path):
    texts.tokenizer(tmp_path)
    texts.small("roberta", 0, layers=1, positions=12).save_pretrained(tmp_path)
    with pytest.raises(SourceError, match="has 11 positions, the texts have 12 tokens"):
        ms.load(f"hf:{tmp_path}?size=12")


def test_code_of_a_model_is_refused(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "x.Y"}}))
    with pytest.raises(SourceError, match="needs trust_remote_code: refused"):
        ms.load(f"hf:{tmp_path}")
