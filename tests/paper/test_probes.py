"""Figures that measure more than stitching, at a scale of seconds: what they leave in the records and on the page."""

import dataclasses

import pytest
from tiny import TINY, tiny_job

from modelstitch.paper import gallery
from modelstitch.paper.catalogue import figure
from modelstitch.paper.curves import Curves
from modelstitch.paper.run import run_figure


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """One folder, so that the figures share their donors."""
    return tmp_path_factory.mktemp("probes")


@pytest.mark.parametrize(
    ("name", "kind", "places", "metric"),
    [
        ("8", "fine-tune", 3, "error"),
        ("9", "freeze", 3, "error"),
        ("connectivity", "path", 15, "barrier"),
        ("matrix", "matrix", 16, "penalty"),
        ("thought", "similarity", 1, "cka_linear_biased"),
    ],
)
def test_a_probe_leaves_its_places_and_the_page_shows_them(out, name, kind, places, metric):
    shown = figure(name)
    records = run_figure(shown, tiny_job(out, protocols=("honest",)))
    curves = Curves(records, "honest")
    for probe in shown.probes:
        found = curves.select(probe.label, kind)
        assert len(found) == places
        assert all(any(m["metric"] == metric for m in r["metrics"]) for r in found)
    words = {claim: verdict.word for claim, _, verdict in gallery.verdicts(shown, records)}
    assert "not measured" not in words.values(), words
    page = gallery.keep(records, shown, out / "pages").read_text()
    assert shown.probes[0].label in page
    again = run_figure(shown, tiny_job(out, protocols=("honest",)))
    assert [r["cell"] for r in again] == [r["cell"] for r in records]


def test_two_repeats_stand_behind_each_curve(tmp_path):
    scale = dataclasses.replace(TINY, name="two", repeats=2)
    records = run_figure(figure("4"), tiny_job(tmp_path, scale, protocols=("honest",)))
    points = Curves(records, "honest").points("other seed", family="conv:1")
    assert [p.seeds for p in points] == [2] * len(points)
    assert {r["config"]["bottom"]["name"] for r in records if r["config"]["control"] == "pair"} == {
        "base, seed 0",
        "base, seed 1",
    }
