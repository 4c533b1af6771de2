"""Every bottom layer into every top layer, as a figure keeps it."""

import pytest
from tiny import tiny_job

from modelstitch.paper.figure import Model, Probe
from modelstitch.paper.probes import grid

MODELS = (Model(seed=1), Model(seed=0))


@pytest.mark.slow
def test_the_grid_has_every_block_under_every_block(tmp_path):
    job = tiny_job(tmp_path)
    probe = Probe("matrix", "x", MODELS)
    assert grid.settings(probe, MODELS, job) == {"samples": 100}
    found = grid.measure(probe, MODELS, job, None)
    below, above = (job.workshop.network(m) for m in MODELS)
    assert {(r["bottom"]["layer"], r["top"]["layer"]) for r in found} == {
        (b, t) for b in below.blocks for t in above.blocks
    }
    for result in found:
        names = [m["metric"] for m in result["metrics"]]
        assert len(names) == len(set(names))
        assert "penalty" in names
