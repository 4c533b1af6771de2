"""Which samples break, in which class, and how hard they are: against plain counting."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import modelstitch as ms
from modelstitch.errors import StudyError
from modelstitch.records.answers import pack, pack_answers, pack_tokens
from modelstitch.records.record import Record
from modelstitch.report.samples import breaks, by_class, difficulty, seams
from modelstitch.report.tables import classes_table
from modelstitch.stats import bootstrap

LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
TOP = np.array([0, 0, 1, 1, 1, 1, 2, 0])  # wrong on samples 2 and 7
BELOW = np.array([0, 1, 0, 1, 1, 2, 2, 2])
STITCHED = {
    ("early", 0.2): np.array([0, 0, 0, 1, 1, 1, 2, 0]),
    ("middle", 0.5): np.array([0, 2, 1, 1, 0, 1, 2, 2]),
    ("late", 0.9): np.array([0, 2, 1, 1, 2, 1, 2, 0]),
}


def record(answers, layer, depth, *, bottom="a", top="b", above=TOP, below=BELOW, seed=0, control="pair", test="t"):
    ends = {"bottom": {"name": bottom, "layer": layer}, "top": {"name": top, "layer": layer, "depth": depth}}
    wrong, wrong_above = (100.0 * (given != LABELS) for given in (answers, above))
    kept = pack(wrong, wrong_above, np.ones(len(LABELS)), "points", test)
    given = {"stitched": answers, "top": above, "bottom": below}
    kept["answers"] = pack_answers(LABELS, given, np.ones(len(LABELS)))
    config = {**ends, "control": control, "seed": seed, "family": "affine", "data": {"fingerprint": "d"}}
    return Record(f"{bottom}{top}{layer}{seed}{control}", config, examples=kept)


RECORDS = [record(answers, *at) for at, answers in STITCHED.items()]


def test_each_sample_tells_where_it_breaks_first_and_what_is_answered():
    rows = breaks(RECORDS[::-1])  # whatever the order of the records
    assert rows["flipped"].to_list() == [0, 2, 1, 0, 2, 0, 0, 1]
    assert rows["first_layer"].to_list() == [None, "middle", "early", None, "middle", None, None, "middle"]
    assert rows["first_depth"].to_list() == [None, 0.5, 0.2, None, 0.5, None, None, 0.5]
    assert rows["answer"].to_list() == [None, 2, 0, None, 0, None, None, 2]
    assert rows["top_right"].to_list() == (TOP == LABELS).tolist()
    assert set(rows["stitches"]) == {3}


def test_classes_have_penalties_of_their_own():
    again = record(STITCHED["late", 0.9], "late", 0.9, seed=1)
    rows = by_class([*RECORDS, again])
    assert rows.height == 9
    late = rows.filter(top_layer="late").sort("label")
    assert late["fits"].to_list() == [2, 2, 2]
    assert late["examples"].to_list() == [3, 3, 2]
    assert late["value"].to_list() == pytest.approx([100 / 3, 100 / 3, 0])
    middle = rows.filter(top_layer="middle", label=0).row(0, named=True)
    deltas = 100.0 * ((STITCHED["middle", 0.5] != LABELS).astype(float) - (TOP != LABELS))[LABELS == 0]
    expected = bootstrap.interval(bootstrap.means([deltas], np.ones(3), ends=(-100, 100))[:, 0])
    assert (middle["low"], middle["high"]) == expected
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()


def test_difficulty_is_over_all_networks_and_pairs():
    back = [record(answers, *at, bottom="b", top="a", above=BELOW, below=TOP) for at, answers in STITCHED.items()]
    rows = difficulty([*RECORDS, *back])
    assert set(rows["networks"]) == {2}
    assert rows["networks_right"].to_list() == ((TOP == LABELS).astype(int) + (BELOW == LABELS)).tolist()
    assert set(rows["pairs"]) == {2}
    assert set(rows["stitches"]) == {6}
    models = np.array([*STITCHED.values(), *STITCHED.values(), TOP, BELOW]) == LABELS
    for sample in range(8):
        own, others = models[:, sample].astype(float), np.delete(models, sample, 1).mean(1)
        trend = rows["trend"][sample]
        if own.std() == 0 or others.std() == 0:
            assert trend is None
        else:
            assert trend == pytest.approx(np.corrcoef(own, others)[0, 1])
    lost = [(TOP == LABELS) & (np.array(s) != LABELS) for s in STITCHED.values()]
    lost_back = [(BELOW == LABELS) & (np.array(s) != LABELS) for s in STITCHED.values()]
    assert rows["broken"].to_list() == (np.sum(lost, 0) + np.sum(lost_back, 0)).tolist()
    assert rows["pairs_broken"].to_list() == (np.any(lost, 0).astype(int) + np.any(lost_back, 0)).tolist()


def test_the_counts_of_real_stitches_are_their_penalties(pair, digits):
    r = ms.compare(*pair, digits, layers=["block1", "block2"], objective="match", controls=(), both=False)
    rows = r.breaks()
    for layer in ("block1", "block2"):
        value = r.frame.filter(metric="penalty", top_layer=layer)["value"][0]
        classes = r.by_class().filter(top_layer=layer)
        assert (classes["value"] * classes["examples"]).sum() / classes["examples"].sum() == pytest.approx(value)
    lost, gained = (int(rows.filter(pl.col("top_right") == held)["flipped"].sum()) for held in (True, False))
    penalties = r.frame.filter(metric="penalty")["value"].sum()
    assert 100 * (lost - gained) / digits.size("test") == pytest.approx(penalties)


def test_texts_are_told_token_by_token():
    rows = breaks([spoken()])
    assert rows.select("sample", "token", "flipped", "answer").rows() == [
        (0, 0, 0, None),
        (0, 1, 1, 5),
        (2, 0, 0, None),
        (2, 1, 1, None),  # gained: what is right is not kept
        (2, 2, 1, 9),
    ]
    assert rows["top_right"].to_list() == [True, True, False, False, True]
    assert rows["label"].null_count() == 5
    hard = difficulty([spoken()])
    assert hard["networks_right"].to_list() == [1, 1, 1, 1, 2]
    assert hard["pairs_broken"].to_list() == [0, 1, 0, 0, 1]
    with pytest.raises(StudyError, match="has no classes: expected one for each sample, found errors in tokens"):
        by_class([spoken()])


def spoken(unit="nats/token", *, tokens=True):
    """Of texts of 2, 0 and 3 tokens."""
    hits = {"stitched": [1, 0, 0, 1, 0], "top": [1, 1, 0, 0, 1], "bottom": [0, 0, 1, 1, 1]}
    hits = {side: np.array(found) > 0 for side, found in hits.items()}
    counts = {side: np.array([found[:2].sum(), 0, found[2:].sum()]) for side, found in hits.items()}
    kept = pack(np.ones(3), np.ones(3), np.array([2.0, 0.0, 3.0]), unit)
    if tokens:
        kept["answers"] = pack_answers(None, counts, np.ones(3))
        kept["answers"]["tokens"] = pack_tokens(hits, np.array([4, 5, 6, 7, 9]))
    return Record("spoken", record(TOP, "late", 0.9).config, examples=kept)


def test_queries_are_found_or_not():
    found, alone = np.array([0.0, 100, 0, 100]), np.array([0.0, 0, 100, 100])
    kept = pack(found, alone, np.ones(4), "points of recall@5")
    made = Record("found", record(TOP, "late", 0.9).config, examples=kept)
    rows = breaks([made])
    assert rows["top_right"].to_list() == [True, True, False, False]
    assert rows["flipped"].to_list() == [0, 1, 1, 0]
    assert difficulty([made])["networks_right"].to_list() == [1, 1, 0, 0]
    with pytest.raises(StudyError, match="has no classes: expected one for each sample, found errors in points of rec"):
        by_class([made])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: breaks([]), "nothing to tell sample by sample of 'pair'"),
        (lambda: breaks(RECORDS, "random"), "sample by sample of 'random'"),
        (lambda: breaks([]), "no record keeps its test samples"),
        (lambda: breaks([spoken(tokens=False)]), "do not keep which tokens are right"),
        (
            lambda: breaks([spoken("MSE", tokens=False)]),
            "nothing says it of errors in MSE: see the error of each sample",
        ),
        (lambda: by_class([_unlabelled()]), "keeps no labels"),
        (lambda: difficulty([*RECORDS, record(TOP, "late", 0.9, test="other")]), "one test split"),
    ],
)
def test_what_is_not_kept_is_said(call, words):
    with pytest.raises(StudyError, match=words):
        call()


def _unlabelled():
    whole = record(TOP, "late", 0.9)
    return Record(whole.cell, whole.config, examples={k: v for k, v in whole.examples.items() if k != "answers"})


def test_seams_between_unlike_layers_stand_by_themselves():
    crossed = record(STITCHED["late", 0.9], "late", 0.9)
    crossed = Record("x", {**crossed.config, "bottom": {"name": "a", "layer": "early"}}, examples=crossed.examples)
    rows = by_class([*RECORDS, crossed])
    assert list(seams(rows).values()) == ["early", "middle", "late", "early → late"]
    table = classes_table(rows, "c")
    assert table.head == ("class", "samples", "early", "middle", "late", "early → late")
    assert all(line[4] == line[5] for line in table.rows)
