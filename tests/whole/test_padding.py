"""Padding enters nothing: other content behind the mask, or more of it, gives the same numbers."""

from __future__ import annotations

import random

import polars as pl
import pytest
import torch

import modelstitch as ms
import texts
from modelstitch.data.readers.tokenizer import TextFacts, Tokenizer
from modelstitch.data.subsets import Tokens
from modelstitch.engine.fit.closed import collect
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.errors import MeasureError
from modelstitch.stitchers import Affine

pytestmark = pytest.mark.slow

SPLITS = ("fit", "val", "test")
LENGTHS = (16, 21)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sentences, one or two in a row, with a class; and a tokenizer."""
    here = tmp_path_factory.mktemp("language")
    texts.tokenizer(here, around=True)
    chance = random.Random(0)
    rows = [" ".join(texts.sentence(chance) for _ in range(chance.choice((1, 2)))) for _ in range(90)]
    pl.DataFrame({"text": rows, "label": [int("cat" in row) for row in rows]}).write_csv(here / "rows.csv")
    return here


def load(folder, length, query=""):
    return ms.load_data(f"text:{folder}/rows.csv?length={length}{query}", tokenizer=folder)


def network(kind, seed, length):
    ids = torch.ones(2, length, dtype=torch.int64)
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return ms.Network(texts.small(kind, seed), example, f"{kind}{seed}", data="input_ids")


@pytest.fixture(scope="module")
def lms(folder):
    """{length: (GPT-2, Llama)}, the same weights at two lengths, and their data."""
    return {n: (network("gpt2", 0, n), network("llama", 1, n), load(folder, n)) for n in LENGTHS}


@pytest.fixture(scope="module")
def encoders(folder):
    return {n: (network("bert", 0, n), network("roberta", 1, n), load(folder, n, "&label=label")) for n in LENGTHS}


def scribbled(data):
    """The same samples with other tokens behind the mask."""
    generator = torch.Generator().manual_seed(3)
    sets = []
    for split in SPLITS:
        d = data.dataset(split)
        noise = torch.randint(5, 20, d.ids.shape, generator=generator)
        assert bool((d.mask == 0).any())
        sets.append(Tokens(torch.where(d.mask.bool(), d.ids, noise), d.mask, d.labels))
    return ms.Data(*sets, n_classes=data.n_classes, text=data.text)


def numbers(stitched):
    return {k: v for k, v in stitched.metrics.items() if k != "steps"}


BLOCKS = {
    "gpt2": "transformer.h.0",
    "llama": "model.layers.0",
    "bert": "bert.encoder.layer.0",
    "roberta": "roberta.encoder.layer.0",
}


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        ("affine", "match"),
        ("affine", "task"),
        ("affine", "distill"),
        ("low-rank:4", "downstream"),
        ("norm-affine-norm", "task"),
        ("orthogonal", "match"),
    ],
)
def test_language_models_give_the_same_numbers(lms, family, objective):
    found = {}
    for length, (bottom, top, data) in lms.items():
        for name, d in (("plain", data), ("scribbled", scribbled(data))):
            options = {"family": family, "objective": objective, "steps": 3, "batch_size": 16, "eval_every": 2}
            stitched = ms.stitch(bottom, top, (BLOCKS["gpt2"], BLOCKS["llama"]), d, **options)
            found[length, name] = numbers(stitched)
    first = found[16, "plain"]
    assert first["penalty"] == pytest.approx(first["error"] - first["top_error"], abs=1e-9)
    assert first["perplexity"] == pytest.approx(torch.tensor(first["error"]).exp().item(), rel=1e-6)
    for other in found.values():
        assert other == pytest.approx(first, rel=2e-4, abs=2e-5)


def test_encoders_give_the_same_numbers(encoders):
    found = [
        numbers(ms.stitch(bottom, top, (BLOCKS["bert"], BLOCKS["roberta"]), d, steps=3, batch_size=16))
        for bottom, top, data in encoders.values()
        for d in (data, scribbled(data))
    ]
    assert found[0]["agreement_top"] <= 100
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=2e-4, abs=2e-5)


def test_tokens_onto_a_pooled_vector_are_averaged_without_padding(encoders):
    found = []
    for bottom, top, data in encoders.values():
        vector = next(name for name in top.cuts if top.layer(name).kind == "vector")
        stitched = ms.stitch(bottom, top, (BLOCKS["bert"], vector), data, objective="match")
        assert any("mean over the positions" in note for note in stitched.record["notes"])
        found.append(numbers(stitched))
        batch = next(data.batches("test", 5))
        with torch.no_grad():
            own = stitched(batch.inputs)
        assert own.shape == (5, 2)
    assert found[1] == pytest.approx(found[0], rel=2e-4, abs=2e-5)


@pytest.mark.parametrize("shuffled", [False, True])
def test_moments_are_those_of_the_tokens_alone(lms, shuffled):
    found = {}
    for length, (bottom, top, data) in lms.items():
        sweep = Sweep(NetworkSender(bottom), top, data, FitSpec(batch_size=16), torch.device("cpu"), shuffled=shuffled)
        stream = open_stream(
            "one",
            sweep.sender,
            top,
            BLOCKS["gpt2"],
            BLOCKS["llama"],
            family=Affine,
            options={},
            objective="match",
            init="closed",
            later=(),
            device=sweep.device,
        )
        collect([stream], sweep)
        found[length] = stream.moments
    tokens = int(lms[16][2].dataset("fit").mask.sum())
    assert found[16].n == found[21].n
    assert found[16].n < tokens if shuffled else found[16].n == tokens
    for name in ("mean_x", "mean_y", "xx", "yy", "xy"):
        torch.testing.assert_close(getattr(found[16], name), getattr(found[21], name), rtol=1e-4, atol=1e-4)


def test_the_matrix_and_similarity_leave_padding_out(lms):
    tables = []
    for bottom, top, data in lms.values():
        layers = ([BLOCKS["gpt2"]], [BLOCKS["llama"]])
        whole = ms.matrix(bottom, top, data, layers=layers, batch_size=16)
        alone = ms.stitch(bottom, top, (BLOCKS["gpt2"], BLOCKS["llama"]), data, objective="match", batch_size=16)
        row = dict(whole.frame.select("metric", "value").iter_rows())
        for metric in ("penalty", "r2", "perplexity", "top_error"):
            assert row[metric] == pytest.approx(alone.metrics[metric], rel=1e-4, abs=1e-4), metric
        some = ms.matrix(bottom, top, data, layers=layers, positions=3, batch_size=16)
        assert dict(some.frame.select("metric", "value").iter_rows())["r2"] < row["r2"] + 0.1
        likeness = ms.similarity(bottom, top, data, layers=layers, measures=["cka"], shuffles=2)
        tables.append([*row.values(), likeness.frame["value"][0]])
        with pytest.raises(MeasureError, match="expected view='pool', which leaves padding out"):
            ms.similarity(bottom, top, data, layers=layers, measures=["cka"], view="flatten")
    assert tables[0] == pytest.approx(tables[1], rel=2e-4, abs=2e-5)


def test_controls_of_language_leave_padding_out(lms):
    found = []
    for bottom, top, data in lms.values():
        result = ms.compare(
            bottom,
            top,
            data,
            layers=[f"{BLOCKS['gpt2']} -> {BLOCKS['llama']}"],
            both=False,
            controls=("self", "random", "shuffled"),
            steps=2,
            batch_size=16,
            optimizer="adam",  # Muon's are in bfloat16, and large where a bottom is random: rounding shows
        )
        rows = result.frame.filter(metric="penalty")
        assert set(rows["unit"]) == {"nats/token"}
        answers = result.examples.filter(control="pair")
        assert (answers["right"] <= answers["weight"]).all()
        assert answers["loss"].to_list() == answers["stitched_error"].to_list()
        assert answers["answer"].null_count() == len(answers)
        found.append({row["control"]: row["value"] for row in rows.iter_rows(named=True)})
    # A shuffled batch of another length pairs the same samples, and draws the same random bottom.
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-4)
    assert set(found[0]) == {"pair", "self", "random", "shuffled"}


def test_a_subset_keeps_what_is_known_of_its_text(folder, lms):
    facts = lms[16][2].text
    assert isinstance(facts, TextFacts)
    assert facts.tokenizer.fingerprint == Tokenizer.load(folder).fingerprint
    assert lms[16][2].subset(20).text is facts


class Marked(torch.nn.Module):
    """Points, each on its own, averaged where a mask is 1; ``key`` is the mask's name."""

    def __init__(self, key):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.body, self.head = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
        self.key = key

    def forward(self, x, **given):
        marked = given[self.key].bool()[..., None]
        kept = torch.where(marked, torch.relu(self.body(x)), 0)
        return self.head(kept.sum(1) / marked.sum(1))


def points(key, behind=None, **options):
    """Data of 90 clouds of up to 5 points; ``behind`` stands in place of the padding."""
    g = torch.Generator().manual_seed(0)
    x, labels = torch.randn(90, 5, 4, generator=g), torch.arange(90) % 3
    mask = torch.arange(5) < torch.randint(1, 6, (90, 1), generator=g)
    x = x if behind is None else torch.where(mask[..., None], x, behind)
    rows = [({"x": x[i], key: mask[i]}, labels[i]) for i in range(90)]
    return ms.Data(rows[:50], rows[50:70], rows[70:], n_classes=3, **options)


def over_points(key, data):
    example = next(data.batches("val", 2)).inputs
    one, two = (ms.Network(Marked(key), example, name, data="x") for name in ("one", "two"))
    return ms.stitch(one, two, "body", data, objective="match", family="affine")


def test_a_mask_of_any_name_is_read_where_data_name_it(tmp_path):
    usual = over_points("attention_mask", points("attention_mask"))
    for behind in (None, 30.0):
        named = over_points("here", points("here", behind, mask="here"))
        assert numbers(named) == pytest.approx(numbers(usual))
        assert not [note for note in named.record["notes"] if "mask" in note]
    named.save(tmp_path)
    networks = [
        ms.Network(Marked("here"), {"x": torch.zeros(2, 5, 4), "here": torch.ones(2, 5).bool()}, n) for n in "ab"
    ]
    assert ms.Stitched.load(tmp_path, *networks)._mask == "here"


def test_what_looks_like_a_mask_and_is_not_read_is_noted():
    data = points("here", 30.0)
    notes = over_points("here", data).record["notes"]
    assert any("caution: the input 'here' holds 0 and 1" in note and "mask='here'" in note for note in notes)
    assert data.fingerprint != points("here", 30.0, mask="here").fingerprint


MISNAMED = {
    "no such key": ({"mask": "there"}, r"have no mask 'there': expected a key of their dict, found 'x', 'here'"),
    "no mask": ({"mask": "x"}, r"The mask 'x' is a tensor of shape \(2, 5, 4\).*expected \(n, positions\), 1 or True"),
}


@pytest.mark.parametrize("case", MISNAMED)
def test_a_mask_that_is_none_is_refused(case):
    options, text = MISNAMED[case]
    with pytest.raises(ms.StitchError, match=text):
        next(points("here", **options).batches("val", 2))


def test_parts_of_data_keep_the_mask():
    data = points("here", mask="here")
    for part in (data.subset(10), data.shorter(test=5), data.on("cpu")):
        assert next(part.batches("val", 2)).mask is not None
