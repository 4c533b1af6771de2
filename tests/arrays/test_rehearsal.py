"""An upgrade tried on samples held out: known answers, controls at their level, and the time of a query."""

import time

import numpy as np
import pytest

import modelstitch as ms
from modelstitch.arrays.given import vectors
from modelstitch.arrays.rehearsal import GALLERY, OLD_ALONE, QUERY, foretell_rehearsal, query_time, rehearse
from modelstitch.arrays.search import Index
from modelstitch.errors import ArrayError


def models(n=700, p=12, q=12, noise=0.0):
    rng = np.random.default_rng(0)
    old = rng.normal(size=(n, p)).astype(np.float32)
    new = old @ rng.normal(size=(p, q)) + noise * rng.normal(size=(n, q))
    return old, new.astype(np.float32)


def values(frame, metric="recall@10"):
    rows = frame.filter(metric=metric).iter_rows(named=True)
    return {(r["way"], r["control"], r["pairs"]): r for r in rows}


def test_what_an_affine_map_can_undo_is_kept_whole_and_controls_are_at_chance():
    found = rehearse(*models(), family=["affine"], pairs=[20, 500], queries=200, k=(1, 10))
    rows = values(found.frame)
    assert rows[GALLERY, "pair", 500]["value"] > 99
    assert 15 < rows[QUERY, "pair", 500]["value"] < 90  # what is near in the old space need not be in the new one
    for way in (GALLERY, QUERY):
        assert rows[way, "shuffled", 500]["value"] < 10
    assert rows[OLD_ALONE, "pair", None]["value"] < 90
    assert rows["old gallery as it is", "pair", None]["value"] < 10
    assert {row["chance"] for row in rows.values()} == {2.0}
    assert {row["gallery"] for row in rows.values()} == {500}
    assert found.aligners["affine"].n_samples_seen_ == 500
    assert set(found.frame["metric"]) == {"recall@1", "recall@10", "mrr"}


def test_values_are_those_of_a_search_made_by_hand():
    old, new = models(noise=2.0, q=9)
    found = rehearse(old, new, queries=100, k=(5,), seed=3)
    order = np.random.default_rng(3).permutation(700)
    asked, kept = np.sort(order[:100]), np.sort(order[100:])
    w = ms.align(old[kept], new[kept], both=True)

    def order_of(queries, gallery):
        q, g = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery))
        return np.argsort(-(q @ g.T), axis=1)

    truth = order_of(new[asked], new[kept])
    for way, ranked in (
        (GALLERY, order_of(new[asked], w.transform(old[kept]))),
        (QUERY, order_of(w.inverse_transform(new[asked]), old[kept])),
        (OLD_ALONE, order_of(old[asked], old[kept])),
    ):
        shares = [100 * len(set(a[:5]) & set(b[:5])) / 5 for a, b in zip(ranked, truth)]
        ranks = [1 + list(a).index(b[0]) for a, b in zip(ranked, truth)]
        pairs = None if way == OLD_ALONE else 600
        row = values(found.frame, "recall@5")[way, "pair", pairs]
        assert row["value"] == pytest.approx(np.mean(shares), abs=0.21)  # a tie that is rounded otherwise
        assert row["low"] < row["value"] < row["high"]
        mrr = values(found.frame, "mrr")[way, "pair", pairs]["value"]
        assert mrr == pytest.approx(np.mean(1 / np.array(ranks)), abs=0.01)


def test_more_queries_make_a_narrower_interval():
    old, new = models(1000, noise=3.0)
    few, many = (
        values(rehearse(old, new, queries=n, pairs=[300], k=(10,)).frame)[GALLERY, "pair", 300] for n in (50, 450)
    )
    assert many["high"] - many["low"] < 0.6 * (few["high"] - few["low"])


def test_queries_may_be_named_by_their_rows():
    old, new = models(noise=2.0)
    found = rehearse(old, new, queries=np.arange(600, 700), k=(1,))
    assert found.aligners["affine"].n_samples_seen_ == 600
    wanted = ms.align(old[:600], new[:600], both=True)
    np.testing.assert_allclose(found.aligners["affine"].coef_, wanted.coef_, rtol=1e-3, atol=1e-4)


def test_how_far_it_is_can_be_heard():
    heard = []
    rehearse(
        *models(), family=("affine", "orthogonal"), pairs=[50, 100], queries=50, k=(1,), tell=lambda *a: heard.append(a)
    )
    assert heard[0] == ("rehearse", 0, 4)
    assert heard[-1] == ("rehearse", 4, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queries": 700}, "700 samples cannot give 700 queries beside a gallery: expected 2 to 698"),
        ({"queries": 1}, "cannot give 1 queries"),
        ({"queries": [3, 700]}, "are no places of rows: expected whole numbers from 0 to 699"),
        ({"queries": [0.5, 1]}, "are no places of rows"),
        ({"queries": 100, "pairs": [601]}, "leave 600 pairs: expected 2 to as many to fit to, found 601"),
        ({"queries": 690, "k": (11,)}, "gallery's 10 rows: expected such numbers, found 11"),
        ({"queries": 10, "metric": "cos"}, "metric 'cos' is unknown"),
        ({"queries": 10, "old_ids": range(700), "new_ids": range(1, 701)}, "other samples"),
    ],
)
def test_a_rehearsal_that_cannot_be_made_is_refused(options, words):
    with pytest.raises(ArrayError, match=words):
        rehearse(*models(), **options)


@pytest.mark.parametrize(
    ("family", "pairs", "words"),
    [
        ("afine", None, "family 'afine' is unknown"),
        ("low-rank:13", None, "rank 13 does not fit 12 -> 12"),
        ("mlp", [10, 500], "10 samples cannot be aligned by the family 'mlp': expected at least 20"),
    ],
)
def test_a_family_that_cannot_be_fitted_is_refused_before_anything_is_searched(family, pairs, words, monkeypatch):
    monkeypatch.setattr("modelstitch.arrays.rehearsal.nearest", None)
    with pytest.raises(ms.StitchError, match=words):
        rehearse(*models(), family=("affine", family), pairs=pairs, queries=100, k=(1,))


@pytest.mark.parametrize("side", ["old", "new"])
@pytest.mark.parametrize("row", [3, 650])  # of the gallery, and a query, which no fit sees
def test_a_row_that_is_not_finite_is_named_wherever_it_lies(side, row):
    old, new = models()
    (old if side == "old" else new)[row, 2] = np.nan
    with pytest.raises(ArrayError, match=f"The {side} embeddings hold NaN in row {row}, column 2"):
        rehearse(old, new, queries=np.arange(600, 700), k=(1,))


def test_rows_that_are_all_the_same_have_no_neighbours():
    old, new = models()
    with pytest.raises(ArrayError, match="The new embeddings are the same in every row: expected samples that differ"):
        rehearse(old, np.ones_like(new), queries=100, k=(1,))


def test_none_found_of_few_queries_is_no_certainty():
    old, _ = models(300)
    found = rehearse(old, np.random.default_rng(1).normal(size=(300, 12)), queries=50, k=(1,))
    row = values(found.frame, "recall@1")[GALLERY, "shuffled", 250]
    assert (row["value"], row["low"]) == (0, 0)
    assert 2 < row["high"] < 10  # three of a hundred might be found, and none of fifty be seen


def test_ids_of_one_side_alone_are_said():
    old, new = models()
    found = rehearse(old, new, queries=100, k=(1,), old_ids=range(700))
    said = "The old embeddings have ids and the new embeddings have none: that their rows are in one order"
    assert [note for note in found.notes if said in note] == [found.notes[0]]
    assert ms.align(old, new, new_ids=range(700)).notes_[-1].startswith("The new embeddings have ids and the old")
    assert ms.align(old, new, old_ids=range(700), new_ids=range(700)).notes_ == []


def test_a_query_is_timed_beside_its_bare_product():
    old, new = models()
    found = query_time(ms.align(old, new), old, rounds=20)
    assert found.microseconds > found.bare > 0
    assert found.ratio == pytest.approx(found.microseconds / found.bare)


def test_rows_of_an_index_are_found_by_their_places():
    old, _ = models(20)
    index = Index(ms.arrays.given.Vectors(old).only(np.array([2, 5, 9])), metric="dot")
    np.testing.assert_array_equal(index.rows(np.array([2, 0, 2])).numpy(), old[[9, 2, 9]])


@pytest.mark.parametrize("how", ["random", "k-means", "farthest"])
def test_anchors_are_chosen_from_the_gallery(how):
    found = rehearse(*models(), family=("affine", "relative"), pairs=[20, 40], anchors=how, queries=100, k=(10,))
    rows = values(found.frame)
    assert rows[GALLERY, "pair", 40]["value"] > 2 * rows[GALLERY, "shuffled", 40]["value"]
    assert found.aligners["affine"].n_samples_seen_ == 40


def test_anchors_may_be_named():
    old, new = models()
    ids = [f"s{i}" for i in range(700)]
    by_place = rehearse(old, new, queries=np.arange(600, 700), anchors=np.arange(5, 65), k=(1,))
    names = [f"s{i}" for i in range(5, 65)]
    by_id = rehearse(old, new, queries=np.arange(600, 700), anchors=names, k=(1,), old_ids=ids, new_ids=ids)
    for found in (by_place, by_id):
        np.testing.assert_allclose(
            found.aligners["affine"].coef_, ms.align(old[5:65], new[5:65], both=True).coef_, rtol=1e-6
        )
    for wrong, words in (
        (["s1", "s650"], "1 of 2 anchors are not in the gallery, first s650: expected ids of samples"),
        (["gone"], "1 of 1 anchors are not in the gallery, first gone"),
    ):
        with pytest.raises(ArrayError, match=words):
            rehearse(old, new, queries=np.arange(600, 700), anchors=wrong, k=(1,), old_ids=ids, new_ids=ids)
    with pytest.raises(ArrayError, match="2 anchors were given: expected as many pairs at most, found 3"):
        rehearse(old, new, queries=np.arange(600, 700), anchors=[1, 2], pairs=[3], k=(1,))


RNG = np.random.default_rng(0)
OLD = RNG.normal(size=(400, 6)).astype(np.float32)
NEW = (OLD @ RNG.normal(size=(6, 9))).astype(np.float32)
ASKED = {"queries": 50, "k": (1, 10), "seed": 0}


def told(n=400, **asked):
    one, two = vectors(OLD[:n], "old"), vectors(NEW[:n], "new")
    return foretell_rehearsal(one, two, **{"family": ("affine",), "pairs": None, **ASKED, **asked})


@pytest.mark.parametrize(
    ("asked", "what", "passes"),
    [
        ({}, "1 map to fit, and 1 map to shuffled pairs;", "2 passes over the samples to fit, 5 to search"),
        (
            {"pairs": (30, 200), "family": ("affine", "low-rank:2")},
            "4 maps to fit, and 2 maps to shuffled pairs;",
            "6 passes over the samples to fit, 13 to search",
        ),
        ({"n": 60}, "1 map to fit, and 1 map to shuffled pairs;", "2 passes over the samples to fit, 5 to search"),
    ],
    ids=["one", "several", "few samples"],
)
def test_maps_and_passes_are_counted(asked, what, passes):
    found = told(**asked)
    assert found.what.startswith(what)
    assert found.passes == passes
    rows = asked.get("n", 400)
    assert found.memory == 8 * 15**2 + 4 * 15 * (2 * rows + 50) + 12 * 50 * rows
    assert found.seconds > 0


@pytest.mark.slow
def test_an_mlp_is_measured_by_its_steps():
    begun = time.process_time()
    found = told(family=("mlp",))
    asked = time.process_time() - begun
    begun = time.process_time()
    rehearse(OLD, NEW, family="mlp", **ASKED)
    taken = time.process_time() - begun
    assert asked < taken / 2
    assert found.seconds > taken / 10  # the clock of a machine at work may say more
