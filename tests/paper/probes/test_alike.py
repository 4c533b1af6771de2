"""CKA at the matching layers of two networks, as the public function gives it."""

import pytest
from tiny import tiny_job

import modelstitch as ms
from modelstitch.paper.figure import Model, Probe
from modelstitch.paper.probes import alike


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return tiny_job(tmp_path_factory.mktemp("job"))


MODELS = (Model(seed=1), Model(seed=0))


def test_one_result_a_pair_of_layers(job):
    probe = Probe("similarity", "x", MODELS)
    found = alike.measure(probe, MODELS, job, None)
    below, above = (job.workshop.network(m) for m in MODELS)
    assert [(r["bottom"]["layer"], r["top"]["layer"]) for r in found] == [
        (s.bottom_layer, s.top_layer) for s in below.seams(above)
    ]
    first = found[0]
    wanted = ms.similarity(
        below,
        above,
        job.data,
        measures=list(alike.MEASURES),
        layers=([first["bottom"]["layer"]], [first["top"]["layer"]]),
        view="flatten",
        samples=job.scale.samples,
        shuffles=alike.SHUFFLES,
        device="cpu",
    ).similarities
    values = {m["metric"]: m["value"] for m in first["metrics"]}
    for row in wanted:
        assert values[row["measure"]] == row["value"]
        assert values[f"{row['measure']} of shuffled pairs"] == row["null_mean"]


def test_seams_are_asked_for_in_the_scales_words(job):
    probe = Probe("similarity", "x", MODELS, {"seams": ["{middle} -> {middle}"]})
    assert alike.settings(probe, MODELS, job)["seams"] == ["block1 -> block1"]
    (found,) = alike.measure(probe, MODELS, job, None)
    assert (found["bottom"]["layer"], found["top"]["layer"]) == ("block1", "block1")
    assert alike.settings(Probe("similarity", "x", MODELS), MODELS, job)["seams"] == "matching"
