"""Waiting threads give their core away soon; the user's own setting stays."""

import os

import pytest
import torch

from modelstitch.support.threads import alone_if_small, wait_briefly


@pytest.mark.parametrize(
    ("given", "set_here", "spins"),
    [({}, True, "5000"), ({"GOMP_SPINCOUNT": "7"}, False, "7"), ({"OMP_WAIT_POLICY": "active"}, False, None)],
)
def test_only_where_the_user_says_nothing(monkeypatch, given, set_here, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert wait_briefly() is set_here
    assert os.environ.get("GOMP_SPINCOUNT") == spins
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


@pytest.mark.parametrize(("columns", "inside"), [(512, 1), (513, 2)])
def test_small_decompositions_run_alone(columns, inside):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with alone_if_small(columns):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
