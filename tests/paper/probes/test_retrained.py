"""Networks of which some layers are kept and the rest is trained anew: for how long, and with which seed."""

import dataclasses

import pytest
from tiny import TINY, tiny_job

from modelstitch.paper.figure import Model, Probe
from modelstitch.paper.probes import finetune, frozen
from modelstitch.paper.probes.retrained import SEED, how, shortened


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return tiny_job(tmp_path_factory.mktemp("job"))


@pytest.mark.parametrize(("time", "steps"), [(1.0, 12), (0.5, 6), (0.001, 1)])
def test_the_length_is_in_units_of_the_scales(job, time, steps):
    probe = Probe("fine-tune", "x", (Model(),), {"time": time})
    recipe = shortened(probe, Model(time=3.0, method="simclr"), job)  # whatever the network itself was trained for
    assert recipe.steps == steps
    assert recipe.checkpoints == ()
    assert dataclasses.replace(recipe, steps=12, checkpoints=()) == dataclasses.replace(
        job.workshop.recipe(Model()), checkpoints=()
    )


def test_layers_of_a_network_that_saw_little_cost_no_training_of_the_rest(job):
    briefly = dataclasses.replace(job.workshop.scale, special={"little": {"steps": 3}})
    job = dataclasses.replace(job, workshop=dataclasses.replace(job.workshop, scale=briefly))
    probe = Probe("freeze", "x", (Model(),))
    assert job.workshop.recipe(Model(samples="little")).steps == 3
    assert shortened(probe, Model(samples="little"), job) == shortened(probe, Model(change="re-initialised"), job)


@pytest.mark.parametrize("room", [finetune, frozen], ids=["fine-tune", "freeze"])
def test_settings_are_plain_values_that_tell_trainings_apart(job, room):
    one, other = (room.settings(Probe("x", "x", (Model(),), {"time": time}), (Model(),), job) for time in (1.0, 0.5))
    assert one != other
    assert one["seed"] == SEED
    assert set(one["layers"]) <= set(TINY.three)
    assert one["recipe"] == how(Probe("x", "x", (Model(),)), Model(), job)["recipe"]
    import json

    assert json.loads(json.dumps(one)) == one
