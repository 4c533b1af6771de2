"""Metrics and places as records hold them."""

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.errors import StitchError
from modelstitch.paper.probes.metric import metric, place
from modelstitch.records.record import Record

END = {"name": "a", "layer": "l"}


def test_a_record_reads_it():
    found = Record.of(
        {
            "version": 2,
            "cell": "c",
            "config": {"bottom": END, "top": END},
            "metrics": [metric("cka", 0.5, low=0.25, high=0.75)],
            "notes": [],
            "provenance": {},
        }
    )
    assert found.metric("cka").value == 0.5
    assert (found.metric("cka").low, found.metric("cka").high, found.metric("cka").unit) == (0.25, 0.75, "")


def test_a_layer_has_its_depth_and_its_place_among_the_cuts():
    network = Network(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval(), torch.zeros(2, 3), "net")
    assert place(network, "0") == {"layer": "0", "depth": 0.5, "index": 0}
    assert place(network, "2")["depth"] == 1.0
    with pytest.raises(StitchError, match="no layer 'x'"):
        place(network, "x")
