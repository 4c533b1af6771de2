"""The estimator against slow references, scikit-learn's own checks, and what it refuses."""

import importlib
import pickle

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import modelstitch as ms
from modelstitch.arrays import Aligner
from modelstitch.errors import ArrayError, StitchError


def pairs(n=400, p=6, q=9, *, noise=0.1, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(n, p)) * np.linspace(0.5, 2, p) + 3
    new = old @ rng.normal(size=(p, q)) + noise * rng.normal(size=(n, q)) - 1
    return old.astype(dtype), new.astype(dtype)


def few_steps(monkeypatch, steps):
    for name in ("FEWEST_STEPS", "MOST_STEPS"):
        monkeypatch.setattr(f"modelstitch.arrays.solve.{name}", steps)


@pytest.mark.slow
@parametrize_with_checks([Aligner()])
def test_it_is_an_estimator_as_scikit_learn_defines_one(estimator, check):
    check(estimator)


def test_affine_is_least_squares():
    old, new = pairs()
    w = ms.align(old, new, both=True)
    for x, y, found in ((old, new, w.transform(old)), (new, old, w.inverse_transform(new))):
        design = np.c_[x, np.ones(len(x))]
        wanted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * y.std())
    np.testing.assert_allclose(w.coef_ @ old[0] + w.intercept_, w.transform(old[:1])[0], rtol=1e-10)


@pytest.mark.parametrize("family", ["affine", "low-rank:3", "scaled-orthogonal", "permutation", "standard-orthogonal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_give_what_one_pass_gives(family, dtype, monkeypatch):
    old, new = pairs(q=6, dtype=dtype)
    whole = ms.align(old, new, family, both=True)
    parts = Aligner(family, both=True)
    for start, stop in ((0, 1 + 3), (4, 250), (250, 400)):
        parts.partial_fit(old[start:stop], new[start:stop])
    monkeypatch.setattr("modelstitch.arrays.given._BLOCK", 1000)
    blocks = ms.align(old, new, family, both=True)
    for w in (parts, blocks):
        assert w.n_samples_seen_ == 400
        np.testing.assert_allclose(w.transform(old), whole.transform(old), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(w.inverse_transform(new), whole.inverse_transform(new), rtol=1e-3, atol=1e-3)
    assert whole.transform(old).dtype == dtype


def test_the_way_back_costs_a_product_and_has_to_be_asked_for():
    old, new = pairs()
    w = ms.align(old, new)
    assert w.moments_.yy.numel() == 0
    with pytest.raises(ArrayError, match="The way back was not fitted: expected both=True"):
        w.inverse_transform(new)


def test_a_family_that_looks_at_the_new_side_alone_gets_its_sums():
    old, new = pairs(noise=0.5)
    for family in ("standard-orthogonal", "l-ortho", "orthogonal"):
        one, two = ms.align(old, new, family), ms.align(old, new, family, both=True)
        assert np.array_equal(one.transform(old), two.transform(old))


def test_a_round_trip_says_what_is_lost_on_the_way():
    old, new = pairs(noise=0)
    wide, narrow = (ms.align(old, y, both=True).round_trip(old) for y in (new, new[:, :2]))
    assert wide > 0.999 > 0.9 > narrow


def test_score_is_r2_of_all_columns():
    old, new = pairs(noise=2.0)
    w = ms.align(old[:300], new[:300])
    x, y = old[300:], new[300:]
    wanted = 1 - np.square(y - w.transform(x)).sum() / np.square(y - y.mean(0)).sum()
    assert w.score(x, y) == pytest.approx(wanted)
    assert w.score(x, y, sample_weight=np.full(100, 3.0)) == pytest.approx(wanted)
    with pytest.raises(ArrayError, match="do not vary"):
        w.score(x[:2], y[[0, 0]])


def test_weights_stand_for_repeated_samples():
    old, new = pairs(60)
    weights = np.r_[np.zeros(20), np.full(20, 1.0), np.full(20, 2.0)]
    repeated = np.r_[np.arange(20, 60), np.arange(40, 60)]
    one = ms.align(old, new, both=True, weights=weights / 7)
    two = ms.align(old[repeated], new[repeated], both=True)
    np.testing.assert_allclose(one.transform(old), two.transform(old), rtol=1e-6)
    np.testing.assert_allclose(one.inverse_transform(new), two.inverse_transform(new), rtol=1e-6)
    assert one.n_samples_seen_ == 40


def test_a_file_in_place_a_tensor_and_an_array_give_the_same(tmp_path):
    old, new = pairs(dtype=np.float32)
    np.save(tmp_path / "old.npy", old)
    np.save(tmp_path / "new.npy", np.asfortranarray(new))
    wanted = ms.align(old, new).transform(old)
    for given in ((tmp_path / "old.npy", str(tmp_path / "new.npy")), (torch.from_numpy(old), torch.from_numpy(new))):
        np.testing.assert_allclose(ms.align(*given).transform(old), wanted, rtol=1e-5, atol=1e-5)
    half = ms.align(old.astype(np.float16), torch.from_numpy(new).bfloat16()).transform(old)
    np.testing.assert_allclose(half, wanted, rtol=0.05, atol=0.1)


def test_sums_in_single_precision_are_good_to_a_millionth():
    old, new = pairs(5000, 40, 30, dtype=np.float32)
    exact = ms.align(old.astype(np.float64), new.astype(np.float64)).transform(old.astype(np.float64))
    assert np.abs(ms.align(old, new).transform(old) - exact).max() < 1e-4 * new.std()


@pytest.mark.parametrize("family", ["affine", "low-rank:2", "mlp:16"])
def test_a_saved_map_maps_the_same_and_goes_on(family, tmp_path, monkeypatch):
    few_steps(monkeypatch, 10)
    old, new = pairs()
    w = ms.align(old, new, family, both=True, seed=3)
    w.save(tmp_path / "map.safetensors")
    back = Aligner.load(tmp_path / "map.safetensors")
    assert back.get_params() == w.get_params()
    assert np.array_equal(back.transform(old), w.transform(old))
    assert np.array_equal(back.inverse_transform(new[:1]), w.inverse_transform(new[:1]))
    assert back.notes_ == w.notes_
    if family != "mlp:16":
        more = [one.partial_fit(old[:50] + 1, new[:50]).transform(old) for one in (back, w)]
        np.testing.assert_allclose(*more, rtol=1e-12)


@pytest.mark.parametrize("change", ["byte", "cut", "other", "gone"])
def test_a_changed_file_is_refused(change, tmp_path):
    path = tmp_path / "map.safetensors"
    ms.align(*pairs()).save(path)
    whole = path.read_bytes()
    if change == "byte":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif change == "cut":
        path.write_bytes(whole[:-8])
    elif change == "other":
        ms.moments.Moments.empty(2, 2).save(path)
    else:
        path.unlink()
    with pytest.raises(ArrayError, match=r"map\.safetensors holds no alignment \(.*fit it anew"):
        Aligner.load(path)


def test_an_mlp_bends_where_an_affine_map_cannot(monkeypatch):
    few_steps(monkeypatch, 600)
    rng = np.random.default_rng(0)
    old = rng.normal(size=(2000, 4)).astype(np.float32)
    new = np.abs(old)
    affine, mlp = (
        ms.align(old[:1500], new[:1500], family).score(old[1500:], new[1500:]) for family in ("affine", "mlp")
    )
    assert affine < 0.1
    assert mlp > 0.8


def test_families_of_a_user_are_known(monkeypatch):
    class Gain(ms.stitchers.Affine):
        family = "one-gain"

        @classmethod
        def solve(cls, moments, site, **options):
            gain = moments.xy.trace() / moments.xx.trace()
            return cls(site, gain * torch.eye(site.p), moments.mean_y - gain * moments.mean_x)

    monkeypatch.setitem(ms.stitchers.FAMILIES, "one-gain", Gain)
    old, _ = pairs()
    assert ms.align(old, 2 * old + 1, "one-gain").score(old, 2 * old + 1) == pytest.approx(1)


def test_it_can_be_searched_over_and_pickled():
    old, new = pairs()
    found = GridSearchCV(Aligner(), {"family": ["low-rank:1", "low-rank:3", "affine"]}, cv=3).fit(old, new)
    assert found.best_params_ == {"family": "affine"}
    again = pickle.loads(pickle.dumps(found.best_estimator_))
    assert np.array_equal(again.transform(old), found.best_estimator_.transform(old))


def test_the_callers_surroundings_stay():
    torch.set_default_dtype(torch.float64)
    try:
        old, new = pairs()
        w = ms.align(old, new)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(w.coef_, ms.align(old, new).coef_)


def spoilt(side, value):
    old, new = pairs()
    (old if side == "old" else new)[17, 3] = value
    return old, new


OLD, NEW = pairs()
STILL = np.ones_like(OLD)
CASES = {
    "unlike length": (lambda: (OLD, NEW[:390]), {}, r"found 400 rows in the old embeddings and 390 in the new"),
    "another order": (
        lambda: (OLD, NEW),
        {"old_ids": range(400), "new_ids": [*range(398), 399, 398]},
        r"rows of both arrays are in another order: row 398 is '398' in the old embeddings and '399' in the new",
    ),
    "other samples": (
        lambda: (OLD, NEW),
        {"old_ids": range(400), "new_ids": range(1, 401)},
        r"of other samples: row 0 is '0'",
    ),
    "too few ids": (lambda: (OLD, NEW), {"old_ids": range(3)}, r"have 400 rows: expected as many ids, found 3"),
    "ids twice": (lambda: (OLD, NEW), {"old_ids": [0] * 400}, r"399 ids twice, first '0'"),
    "NaN": (lambda: spoilt("old", np.nan), {}, r"The old embeddings hold NaN in row 17, column 3: expected finite"),
    "infinity": (lambda: spoilt("new", np.inf), {}, r"The new embeddings hold inf in row 17, column 3"),
    "overflow": (lambda: (OLD * 1e200, NEW), {}, r"so large that their sums are inf"),
    "nothing varies": (lambda: (STILL, NEW), {}, r"No column of the old embeddings ever changes"),
    "one pair": (
        lambda: (OLD[:1], NEW[:1]),
        {},
        r"1 sample cannot be aligned by the family 'affine': expected at least 2",
    ),
    "few for a rank": (lambda: (OLD[:3], NEW[:3]), {"family": "low-rank:3"}, r"3 samples .* expected at least 4 pairs"),
    "few for an MLP": (lambda: (OLD[:9], NEW[:9]), {"family": "mlp"}, r"9 samples .* expected at least 20 pairs"),
    "a rank too high": (lambda: (OLD, NEW), {"family": "low-rank:7"}, r"rank 7 does not fit 6 -> 9"),
    "a fitted family": (lambda: (OLD, NEW), {"family": "norm-affine-norm"}, r"is fitted through a network: expected"),
    "an unknown family": (lambda: (OLD, NEW), {"family": "nope"}, r"family 'nope' is unknown"),
    "weights too few": (
        lambda: (OLD, NEW),
        {"weights": [1, 2]},
        r"a number for each of 400 rows: found shape \(2,\)",
    ),
    "weights below 0": (lambda: (OLD, NEW), {"weights": -np.ones(400)}, r"finite numbers of zero or more"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_sentence(name):
    made, options, words = CASES[name]
    with pytest.raises(StitchError, match=words) as found:
        ms.align(*made(), **options)
    assert "\n" not in str(found.value)


def test_a_mistake_in_a_query_is_one_sentence():
    w = ms.align(OLD, NEW, both=True)
    bad = OLD[:2].copy()
    bad[1, 2] = np.nan
    for call, words in (
        (lambda: w.transform(bad), "hold NaN in row 1, column 2"),
        (lambda: w.transform(OLD[:, :3]), "3 features, but Aligner is expecting 6"),
        (lambda: w.transform(OLD[0]), "Expected 2D array, got 1D array"),
        (lambda: w.inverse_transform(OLD), "have 6 columns: expected 9, as in fit"),
        (lambda: w.score(OLD, NEW[:3]), "found 400 and 3 rows"),
        (lambda: w.partial_fit(OLD, NEW[:, :2]), "have 2 columns: expected 9 as before"),
        (lambda: Aligner("mlp").partial_fit(OLD, NEW), "'mlp' looks at samples twice: expected another"),
        (lambda: Aligner().fit(OLD, None), "requires y to be passed"),
    ):
        with pytest.raises(ArrayError, match=words) as found:
            call()
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("asked", ["pandas", "polars"])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_container_is_given_where_one_is_asked_for(asked, rows):
    frames = importlib.import_module(asked)
    w = ms.align(OLD, NEW)
    plain = w.transform(OLD[:rows])
    assert type(plain) is np.ndarray
    one = clone(w).fit(OLD, NEW).set_output(transform=asked).transform(OLD[:rows])
    with sklearn.config_context(transform_output=asked):
        two = w.transform(OLD[:rows])
    for frame in (one, two):
        assert isinstance(frame, frames.DataFrame)
        assert list(frame.columns) == [f"aligner{i}" for i in range(9)]
        assert np.array_equal(frame.to_numpy(), plain)
    assert type(w.transform(OLD[:rows])) is np.ndarray


def test_a_plain_query_meets_no_check_of_scikit_learn(monkeypatch):
    w = ms.align(OLD, NEW)
    wanted = w.transform(OLD[:2])[:1]
    monkeypatch.setattr("modelstitch.arrays.aligner.validate_data", None)
    np.testing.assert_allclose(w.transform(OLD[:1]), wanted, rtol=1e-12)
    with pytest.raises(TypeError):
        w.transform(OLD[:1].tolist())


def test_a_part_that_is_refused_leaves_the_map_as_it_was():
    w = ms.align(OLD, NEW)
    before = w.transform(OLD)
    with pytest.raises(ArrayError, match="hold NaN in row 17"):
        w.partial_fit(*spoilt("old", np.nan))
    assert w.n_samples_seen_ == 400
    assert np.array_equal(w.transform(OLD), before)
    np.testing.assert_allclose(w.partial_fit(OLD, NEW).transform(OLD), before, rtol=1e-9)


def test_what_to_know_of_a_fit_is_said():
    old, new = OLD.copy(), NEW.copy()
    old[:, 2], new[:, [0, 1]] = 5.0, 7.0
    w = ms.align(old, new, both=True)
    assert w.notes_ == [
        "1 column of 6 of the old embeddings never change.",
        "2 columns of 9 of the new embeddings never change.",
    ]
    np.testing.assert_allclose(w.transform(old)[:, 0], 7.0)
    few = ms.align(OLD[:5], NEW[:5])
    assert few.notes_[-1].startswith("5 pairs span fewer directions than the 6 columns of the old embeddings")
