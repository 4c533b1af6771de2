"""Texts of other lengths than the example's: padded under their mask, or traced again; equal to those unpadded."""

import pytest
import torch

import modelstitch as ms
import texts
from modelstitch.errors import StitchError
from modelstitch.models.token_view import TokenView
from modelstitch.stitched import lengths
from modelstitch.stitched.lengths import at_length
from modelstitch.stitchers import Affine, Site

LAYERS = {"gpt2": "transformer.h.0", "llama": "model.layers.0", "bert": "bert.encoder.layer.0"}


def network(kind, seed=0, length=8, mask=True):
    ids = torch.ones(2, length, dtype=torch.int64)
    names = ("input_ids", "attention_mask") if mask else ("input_ids",)
    example = dict(zip(names, (ids, torch.ones_like(ids))))
    view = TokenView(names, "", None, length)
    return ms.Network(texts.small(kind, seed), example, f"{kind}{seed}", data="input_ids", view=view)


def joined(kind, length=8, mask=True):
    low, high = (network(kind, seed, length, mask) for seed in (0, 1))
    stitcher = Affine.random(Site(24, 24, "tokens"), torch.Generator().manual_seed(0))
    return ms.Stitched(low, high, LAYERS[kind], LAYERS[kind], stitcher, family="affine")


def ids_of(n, tokens):
    return torch.randint(5, 20, (n, tokens), generator=torch.Generator().manual_seed(tokens))


@pytest.fixture
def traces(monkeypatch):
    made = []
    real = lengths.resized
    monkeypatch.setattr(lengths, "resized", lambda network, length: made.append(length) or real(network, length))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("tokens", [5, 13])
def test_a_text_of_another_length_gives_what_it_gives_unpadded(kind, tokens, traces):
    ids = ids_of(3, tokens)
    found = joined(kind).predict({"input_ids": ids})
    assert traces == ([] if tokens == 5 else [16, 16])
    assert torch.allclose(found, joined(kind, tokens).predict({"input_ids": ids}), atol=1e-5)


@pytest.mark.slow
def test_without_a_mask_networks_are_traced_at_the_very_length(traces):
    ids = ids_of(2, 5)
    found = joined("gpt2", mask=False).predict({"input_ids": ids})
    assert traces == [5, 5]
    assert torch.allclose(found, joined("gpt2", 5, mask=False).predict({"input_ids": ids}), atol=1e-6)


@pytest.mark.slow
def test_traces_are_kept_and_no_more_positions_are_asked_for_than_there_are(traces):
    model = joined("gpt2", 24)
    for tokens in (30, 60):
        model.predict({"input_ids": ids_of(1, tokens)})
    assert traces == [48, 48, 64, 64]
    model.predict({"input_ids": ids_of(1, 31)})
    assert len(traces) == 4
    assert at_length(model.networks("look at")[0], 24) is model.networks("look at")[0]


def test_a_text_that_no_network_has_room_for_is_refused():
    with pytest.raises(StitchError, match=r"takes no text of 70 tokens \(.*\): expected no more than both networks"):
        joined("gpt2").predict({"input_ids": ids_of(1, 70)})
