"""The bench that sweeps share: donors looked at once, drawn networks kept."""

import pytest

from modelstitch.study.sweeps.bench import left


def test_what_sends_in_a_cell(cells, bench, pair):
    assert bench.below(cells["pair"][0]) is pair[0]
    assert bench.below(cells["class-noise"][0]) is None
    drawn = bench.below(cells["random"][0])
    assert drawn.fingerprint() != pair[0].fingerprint()
    assert bench.below(cells["random"][1]) is drawn


def test_donors_are_looked_at_once(cells, bench, pair, monkeypatch):
    found = bench.donors(cells["pair"][0])
    assert len(found) == 2
    monkeypatch.setattr("modelstitch.study.sweeps.bench.look", lambda *_, **__: pytest.fail("looked again"))
    assert bench.donors(cells["pair"][1]) == found
    assert bench.donors(cells["class-noise"][0]) == found[1:]  # class noise has no bottom
    assert set(bench.looked) == {"zero", "one"}


def test_a_state_is_left_under_a_name_of_its_work(cells, bench, tmp_path):
    assert left(cells["pair"][0], bench) is None
    bench.unfinished = tmp_path
    names = {left(group[0], bench).path.name for group in (cells["pair"], cells["random"], cells["class-noise"])}
    assert len(names) == 3
    assert left(cells["pair"][0], bench).path == left(cells["pair"][1], bench).path
