"""The bench that sweeps share: donors looked at once, drawn networks kept."""

import pytest
import torch

import modelstitch as ms
from modelstitch.study.sweeps.bench import Bench, left
from modelstitch.study.sweeps.measured import unmeasured


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


def test_of_three_networks_one_may_fail(family):
    groups, bench = family
    cells = [cell for group in groups if group[0].sweep.kind == "plain" for cell in group]
    with torch.no_grad():
        bench.networks["odd"].module.head.bias.fill_(float("nan"))
    assert {donor.name for donor in bench.all_donors(cells)} == {"zero", "one", "odd"}
    failed = [cell for cell in cells if bench.fails(cell)]
    assert failed == [cell for cell in cells if cell.config["top"]["name"] == "odd"]
    record = unmeasured(failed[0], bench.fails(failed[0]), bench)
    assert record.failed.startswith("The output of odd holds NaN or infinity, first for the sample ")
    two = [cell for cell in cells if {cell.config[side]["name"] for side in ("bottom", "top")} == {"zero", "odd"}]
    with pytest.raises(ms.StitchError, match="The output of odd holds NaN"):
        Bench(bench.networks, bench.data, bench.spec, bench.device).all_donors(two)
