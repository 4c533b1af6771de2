"""Texts that stitched language models write: with the identity those that transformers itself writes."""

import pytest
import torch

import modelstitch as ms
import texts
from modelstitch.errors import StitchError
from modelstitch.models.token_view import TokenView
from modelstitch.stitchers import FAMILIES, Affine, Site

LAYERS = {"gpt2": "transformer.h.0", "llama": "model.layers.0", "bert-mlm": "bert.encoder.layer.0"}


def network(kind, seed=0, length=8, tokenizer=None, mask=True):
    ids = torch.ones(2, length, dtype=torch.int64)
    names = ("input_ids", "attention_mask") if mask else ("input_ids",)
    view = TokenView(names, "", tokenizer, length)
    example = dict(zip(names, (ids, torch.ones_like(ids))))
    return ms.Network(texts.small(kind, seed), example, f"{kind}{seed}", data="input_ids", view=view)


def itself(kind, **how):
    net = network(kind, **how)
    return ms.Stitched(
        net, net, LAYERS[kind], LAYERS[kind], FAMILIES["identity"](Site(24, 24, "tokens")), family="identity"
    )


def prompt(n=3, tokens=5):
    return torch.randint(5, 20, (n, tokens), generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mask"), [("gpt2", False), ("llama", True)])
def test_the_identity_writes_what_transformers_writes(kind, mask):
    ids, model = prompt(), itself(kind, mask=mask)
    module = model.networks("look at")[0].module
    wanted = module.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=11, do_sample=False)
    assert torch.equal(model.generate(ids, 11), wanted)


@pytest.mark.slow
def test_a_text_ends_where_it_says_so():
    ids, model = prompt(), itself("gpt2")
    free = model.generate(ids, 9)
    stop = int(free[0, 7])
    found = model.generate(ids, 9, stop=stop)
    at = [(row[5:] == stop).nonzero()[:1].flatten().tolist() for row in free]
    assert all(torch.equal(a[: 6 + n[0]], b[: 6 + n[0]]) for a, b, n in zip(found, free, at) if n)
    module = model.networks("look at")[0].module
    wanted = module.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=9,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=stop,
    )
    assert torch.equal(found, wanted)


def test_texts_of_unlike_lengths_are_written_as_each_by_itself(tmp_path):
    texts.tokenizer(tmp_path)
    from modelstitch.data.readers.tokenizer import Tokenizer

    low, high = (network("gpt2", seed, tokenizer=Tokenizer.load(tmp_path)) for seed in (0, 1))
    stitcher = Affine.random(Site(24, 24, "tokens"), torch.Generator().manual_seed(0))
    model = ms.Stitched(low, high, LAYERS["gpt2"], LAYERS["gpt2"], stitcher, family="affine")
    both = ["the cat sees", "a dog hears the fish here ."]
    found = model.generate(both, 5)
    assert found == [model.generate(one, 5)[0] for one in both]
    assert [text.startswith(begun) for text, begun in zip(found, both)] == [True, True]
    assert [len(text.split()) for text in found] == [8, 12]


def test_drawn_texts_follow_the_seed():
    model, ids = itself("gpt2"), prompt(8)
    one, again, other = (model.generate(ids, 6, temperature=5.0, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("kind", "given", "how", "said"),
    [
        ("gpt2", "the cat", {}, "'gpt20' has no tokenizer to read a prompt with: expected ids, a tensor"),
        ("gpt2", torch.zeros(2), {}, r"must be ids of shape \(texts, tokens\), found \(2,\) of torch.float32"),
        ("gpt2", prompt(), {"tokens": 0}, "0 tokens at the temperature 0.0 cannot be written: expected 1 token"),
        ("gpt2", prompt(), {"tokens": 90}, "takes no text of 95 tokens"),
        ("bert-mlm", prompt(), {}, "for a token depend on later ones: expected causal language models on both sides"),
    ],
)
def test_what_cannot_be_written_is_refused(kind, given, how, said):
    with pytest.raises(StitchError, match=said):
        itself(kind).generate(given, **how)


def test_networks_of_images_write_nothing(pair, digits):
    stitched = ms.stitch(*pair, "block2", digits, objective="match", samples=50)
    with pytest.raises(StitchError, match=r"reads samples of .*, no sequence of ids: expected a causal language model"):
        stitched.generate("the cat")
