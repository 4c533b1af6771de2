"""What stitches cost: their parts, their files, and other networks refused."""

import pytest
import torch
from torch import nn

from modelstitch import Network, compare
from modelstitch.errors import StitchError, StudyError
from modelstitch.stitched.timing import parameters_of


@pytest.mark.slow
def test_a_stitch_costs_its_bottom_its_map_and_its_top(pair, digits):
    found = compare(*pair, digits, layers=["block2"], objective="match", controls=("self",), both=False, device="cpu")
    rows = found.front(*pair, rounds=1).frame
    assert len(rows) == 3  # both networks, and one stitch: controls are left out
    one = rows.filter(bottom_layer="block2").row(0, named=True)
    bottom, top = pair[0].bottom("block2"), pair[1].top("block2")
    low, high = pair[0].layer("block2"), pair[1].layer("block2")
    assert one["parameters"] == parameters_of(bottom) + parameters_of(top) + (low.channels + 1) * high.channels
    whole = rows.filter(rows["bottom_layer"].is_null())
    assert set(whole["bottom"]) == {network.name for network in pair}
    assert one["multiplications"] > 0


@pytest.mark.slow
def test_files_are_timed_beside_their_models(pair, digits):
    found = compare(*pair, digits, layers=["block2"], objective="match", controls=(), both=False, device="cpu")
    rows = found.front(*pair, rounds=1, exported="pt2", by="exported_milliseconds")
    assert (rows.frame["exported_milliseconds"] > 0).all()
    assert "milliseconds a batch, exported" in rows.table.head
    assert rows.about.endswith("files: pt2")


def test_files_run_on_the_processor_in_two_forms(pair, digits):
    found = compare(*pair, digits, layers=["block2"], objective="match", controls=(), both=False, device="cpu")
    with pytest.raises(
        StitchError, match="exported='tflite' on cpu is no way to time a file: expected 'onnx' or 'pt2'"
    ):
        found.front(*pair, exported="tflite")
    with pytest.raises(StitchError, match="'exported_milliseconds' needs files that are timed: give exported='onnx'"):
        found.front(*pair, by="exported_milliseconds")


def test_other_networks_are_refused(pair, digits):
    found = compare(*pair, digits, layers=["block2"], objective="match", controls=(), both=False, device="cpu")
    with pytest.raises(StudyError, match=rf"expected one with the fingerprint {pair[1].fingerprint()}, called"):
        found.front(pair[0])
    other = Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), torch.zeros(2, 1, 8, 8), pair[1].name)
    with pytest.raises(StudyError, match="expected one with the fingerprint"):
        found.front(pair[0], other)
