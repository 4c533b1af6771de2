"""The tests of ReSi at a small size: their qualities by hand, stitches of held layers, a run that goes on, the page."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

import modelstitch as ms
from modelstitch.zoo.nets import build

ROOT = Path(__file__).parents[1]
TINY = ["--data", "digits", "--net", "small-resnet?width=4&blocks=1", "--seeds", "2", "--steps", "3"]
TINY += ["--samples", "100", "--test", "60", "--rows", "40", "--fit-steps", "2"]


@pytest.fixture(scope="module")
def resi():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        threads = torch.get_num_threads()
        yield importlib.import_module("resi")
        torch.set_num_threads(threads)


@pytest.fixture
def pages(resi, tmp_path, monkeypatch):
    """Pages of few draws go to a folder of the test's own."""
    monkeypatch.setattr(resi.side_by_side, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(resi.resi_page, "DRAWS", 3)
    return tmp_path / "results"


def test_average_precision_is_that_of_scikit_learn(resi):
    draw = np.random.default_rng(0)
    for _ in range(20):
        within, across = draw.integers(0, 9, 6).astype(float), draw.integers(-2, 7, 14).astype(float)  # with ties
        wanted = average_precision_score([1] * 6 + [0] * 14, np.r_[within, across])
        assert resi.resi_page.average_precision(within, across, 14 / 6) == pytest.approx(wanted, abs=1e-12)


def test_groups_are_told_apart_by_similarities_within_and_across(resi):
    groups = ["a", "a", "b", "b"]
    whole = np.array([[0, 9, 1, 2], [9, 0, 3, 4], [1, 3, 0, 3.5], [2, 4, 3.5, 0]], float)
    found = resi.resi_page.grouped(whole, groups, np.arange(4))
    assert found["conformity"] == pytest.approx((1 + 6 / 8) / 2)  # of b, 4 across is above 3.5 within, in both orders
    assert found["AUPRC"] == pytest.approx((1 + 1 / 2) / 2)
    twice = resi.resi_page.grouped(whole, groups, np.array([0, 0, 2, 3]))  # one network twice is no pair
    assert np.isnan(twice["AUPRC"])
    assert np.isnan(twice["conformity"])


def test_layers_that_fall_with_distance_conform(resi):
    at = np.arange(4)
    falling = -np.abs(at[:, None] - at).astype(float)
    assert resi.resi_page.layered(falling) == {"conformity": 1.0, "rho": pytest.approx(1.0)}
    assert resi.resi_page.layered(-falling) == {"conformity": 0.0, "rho": pytest.approx(-1.0)}
    falling[0, 3] = np.nan  # a stitch without a value takes its triples along
    assert resi.resi_page.layered(falling)["conformity"] == 1.0
    assert np.isnan(resi.resi_page.layered(np.full((3, 3), np.nan))["conformity"])


def test_outputs_are_correlated_over_pairs_of_two_networks(resi):
    draw = np.random.default_rng(1)
    similar, apart = draw.random((5, 5)), draw.random((5, 5))
    pairs = ~np.eye(5, dtype=bool)
    wanted = spearmanr(-similar[pairs], apart[pairs]).statistic
    assert resi.resi_page.correlated(similar, apart, np.arange(5)) == pytest.approx(wanted)
    assert np.isnan(resi.resi_page.correlated(np.zeros((5, 5)), apart, np.arange(5)))


def test_ranks_of_what_has_no_value_are_the_last(resi):
    values = np.array([[0.9, np.nan], [0.1, 0.5], [0.9, 0.7]])
    assert resi.resi_page.mean_ranks(values).tolist() == [2.25, 2.5, 1.25]


@pytest.mark.parametrize(
    ("own", "random", "found"),
    [
        ((1.0, 0.0, 2.0), [(11.0, 10.0, 12.0)], 0.5),
        ((1.0, 0.0, 2.0), [(10.0, 9.0, 11.0), (12.0, 11.0, 13.0)], 0.5),
        ((1.0, 0.0, 2.0), [(11.0, 1.5, 20.0)], None),
        ((1.0, 0.0, 2.0), [], None),
    ],
)
def test_a_normalised_penalty_needs_a_random_bottom_beyond_the_own_one(resi, own, random, found):
    assert resi.normalised(6.0, own, random) == found


@pytest.mark.parametrize("channels", [1, 3])
def test_a_spot_has_the_colour_of_its_class_where_it_is_right(resi, channels):
    labels = torch.arange(40) % 10
    images = torch.zeros(40, channels, 8, 8)
    right = resi.spotted(images, labels, 1.0, 10, seed=0)
    colours = right.flatten(2).abs().max(2).values
    assert len({tuple(c) for c in colours.tolist()}) == 10
    assert torch.equal(colours[:10], colours[10:20])
    assert ((right != 0).any(1).flatten(1).sum(1) <= 4).all()
    assert not images.any()
    wrong = resi.spotted(images, labels, 0.0, 10, seed=0).flatten(2).max(2).values
    assert not torch.equal(wrong[:10], wrong[10:20])


def test_stitches_of_held_layers_are_those_of_the_whole_networks(resi):
    data = resi.small(ms.load_data("digits"), resi.argparse.Namespace(samples=200, test=100))
    modules = [build("small-resnet?width=4&blocks=3", seed=seed).eval() for seed in (0, 1)]
    layers = [(resi.held(modules, x), y) for x, y in (resi.whole(data, s) for s in ("fit", "val", "test"))]
    held = ms.Data(*layers, name="held", n_classes=10)
    above = [ms.Network(resi.Above(i, m).eval(), layers[0][0][:2], f"n{i}") for i, m in enumerate(modules)]
    full = [ms.Network(m, resi.whole(data, "val")[0][:2], f"n{i}") for i, m in enumerate(modules)]
    asked = {"layers": "pool", "objective": "match", "controls": "none", "device": "cpu"}
    one, other = (
        ms.compare(networks, data=seen, **asked).frame.filter(pl.col("metric").is_in(["error", "relative_mse"]))
        for networks, seen in ((above, held), (full, data))
    )
    assert one.height == 4
    assert one["value"].to_list() == pytest.approx(other["value"].to_list(), rel=1e-4)


def test_a_measure_that_is_symmetric_is_taken_once(resi, tmp_path, monkeypatch):
    rows = {name: torch.randn(40, 3, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("ab")}
    found = resi.all_measured(rows, tmp_path)
    for name, measure in ms.measures.MEASURES.items():
        assert found["b", "a"][name] == pytest.approx(measure(rows["b"], rows["a"]), abs=1e-9), name
    kept = json.loads((tmp_path / "1.json").read_text())["values"]["a"]
    assert set(kept) == {name for name, measure in ms.measures.MEASURES.items() if measure.direction}
    monkeypatch.setattr(resi, "measured", None)  # what is kept is not measured again
    assert resi.all_measured(rows, tmp_path) == found


@pytest.mark.slow
def test_a_run_goes_on_and_writes_its_page(resi, pages, tmp_path, monkeypatch, capsys):
    asked = [*TINY, "--out", str(tmp_path / "run")]
    resi.main([*asked, "--only", "outputs", "layers"])
    page = (pages / "resi.md").read_text()
    assert "**Not finished:** labels, shortcut, noise." in page
    assert "| **penalty both ways, task** |" in page
    monkeypatch.setattr(resi, "donor", lambda spec, *_: pytest.fail(f"{spec.name} is trained again"))
    resi.main([*asked, "--only", "outputs"])
    assert (pages / "resi.md").read_text() == page
    resi.main(["--redraw"])
    assert (pages / "resi.md").read_text() == page
    capsys.readouterr()


def test_a_dry_run_says_what_it_takes(resi, tmp_path, capsys):
    resi.main([*TINY, "--out", str(tmp_path / "run"), "--dry-run", "--only", "labels"])
    assert re.match(r"8 networks of 3 steps, 56 ordered pairs of networks, 3 stitches each: ", capsys.readouterr().out)


def test_the_committed_page_says_what_its_records_say(resi, monkeypatch):
    monkeypatch.setattr(resi.resi_page, "DRAWS", 1)
    kept = ROOT / "docs" / "results" / "resi"
    rows, networks = pl.read_parquet(kept / "pairs.parquet"), pl.read_csv(kept / "networks.csv")
    groups = dict(networks.select("network", "group").iter_rows())
    page = (kept.parent / "resi.md").read_text(encoding="utf-8")
    for columns in (resi.resi_page.FIRST, resi.resi_page.SECOND):
        found = resi.resi_page.worked_out(rows, groups, columns)
        for measure, values in zip(found.measures, found.values):
            said = r" \| ".join("-" if np.isnan(value) else rf"{value:.2f} \[[^|]*\]" for value in values)
            assert re.search(rf"^\| \**{measure}\** \|.* {said} \|$", page, re.M), measure
