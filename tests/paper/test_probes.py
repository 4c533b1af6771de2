"""Figures that measure more than stitching, at a scale of seconds: what they leave in the records and on the page."""

import contextlib
import dataclasses
import itertools

import pytest
from tiny import TINY, tiny_job

from modelstitch.paper import gallery
from modelstitch.paper.catalogue import figure
from modelstitch.paper.curves import Curves
from modelstitch.paper.judged import verdicts
from modelstitch.paper.run import run_figure
from modelstitch.support.resume import Unfinished


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """One folder, so that the figures share their donors."""
    return tmp_path_factory.mktemp("probes")


@pytest.mark.slow
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
    shown, scale = figure(name), dataclasses.replace(TINY, most_cuts=4)  # so that some layer has others on both sides
    records = run_figure(shown, tiny_job(out, scale, protocols=("honest",)))
    curves = Curves(records, "honest")
    for probe in shown.probes:
        found = curves.select(probe.label, kind)
        assert len(found) == places
        assert all(any(m["metric"] == metric for m in r["metrics"]) for r in found)
    words = {claim: verdict.word for claim, _, verdict in verdicts(shown, records)}
    assert "not measured" not in words.values(), words
    page = gallery.keep(records, shown, out / "pages").read_text()
    assert shown.probes[0].label in page
    again = run_figure(shown, tiny_job(out, scale, protocols=("honest",)))
    assert [r["cell"] for r in again] == [r["cell"] for r in records]


@pytest.mark.slow
def test_two_repeats_stand_behind_each_curve(tmp_path):
    scale = dataclasses.replace(TINY, name="two", repeats=2)
    records = run_figure(figure("4"), tiny_job(tmp_path, scale, protocols=("honest",)))
    points = Curves(records, "honest").points("other seed", family="conv:1")
    assert [p.seeds for p in points] == [2] * len(points)
    assert {r["config"]["bottom"]["name"] for r in records if r["config"]["control"] == "pair"} == {
        "base, seed 1",
        "base, seed 2",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        ("8", "fine-tune", {"three_deep": ("stem", "block2", "block1")}),
        ("8", "fine-tune", {"special": {**TINY.special, "deep": {"lr": 0.01}}}),
        ("9", "freeze", {"three": ("stem", "block1", "head")}),
        ("thought", "similarity", {"middle": "block2"}),
        ("thought", "similarity", {"samples": 50}),
    ],
)
def test_a_probe_of_other_settings_is_another_probe(out, name, kind, change):
    def probes(scale):
        records = run_figure(figure(name), tiny_job(out, scale, protocols=()))
        return {r["cell"] for r in records if r["config"]["control"] == kind}

    assert not probes(TINY) & probes(dataclasses.replace(TINY, **change))


@pytest.mark.slow
def test_a_figure_that_is_stopped_again_and_again_ends_with_the_same_records(tmp_path, monkeypatch):
    """Stopped after 8 units of progress, then after 9, and so on: in donors, in sweeps, in the trainings of a probe."""
    whole = run_figure(figure("9"), tiny_job(tmp_path / "whole", protocols=("honest",)))
    monkeypatch.setattr(Unfinished, "due", True)
    stopped_in: list[str] = []
    trained: list[tuple[str, int]] = []

    def run_for(units):
        def tell(what, done, total):
            nonlocal units
            units -= 1
            if what.split()[0] in ("train", "freeze"):
                trained.append((what, done))
            if units == 0:
                stopped_in.append(what)
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            return run_figure(figure("9"), tiny_job(tmp_path / "pieces", protocols=("honest",), tell=tell))
        return None

    again = next(found for units in itertools.count(8) if (found := run_for(units)) is not None)
    assert {"train", "freeze"} <= {what.split()[0] for what in stopped_in}
    assert len(trained) == len(set(trained)), "a step of a training was taken twice"
    assert any("->" in what for what in stopped_in)
    assert [r["cell"] for r in again] == [r["cell"] for r in whole]
    assert [r["metrics"] for r in again] == [r["metrics"] for r in whole]
    assert not (tmp_path / "pieces" / "unfinished").exists()
