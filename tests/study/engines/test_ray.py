"""Sweeps on a Ray cluster of one node.

The records are those of this process, and what goes wrong there is told here.
"""

import os
import time
from functools import partial
from types import SimpleNamespace

import pytest

from cells import cell
from modelstitch.data.load import load_data
from modelstitch.errors import StudyError
from modelstitch.records.record import equal_results
from modelstitch.study.declared import run_study
from modelstitch.study.engines import ray as engine_on_ray
from modelstitch.study.spec import parse_spec

pytestmark = pytest.mark.slow

STUDY = {
    "name": "three equal nets",
    "data": "digits",
    "layers": ["block2"],
    "objectives": ["match"],
    "controls": ["random"],
    "pairs": [["a", "c"], ["b", "c"]],
    "donors": dict.fromkeys("abc", "zoo:small-resnet?width=4"),
}


ELSEWHERE = "no cluster is there"


@pytest.fixture(scope="module")
def cluster():
    """Ray without a token file, a dashboard or reports of use."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield ray
        ray.shutdown()


def test_records_are_those_of_this_process(cluster, tmp_path):
    here, _ = run_study(parse_spec(STUDY), tmp_path / "here", device="cpu")
    told = []
    there, _ = run_study(
        parse_spec({**STUDY, "engine": "ray"}), tmp_path / "there", device="cpu", tell=lambda *args: told.append(args)
    )
    assert [r["cell"] for r in there] == [r["cell"] for r in here]
    assert all(equal_results(a, b) for a, b in zip(here, there))
    assert any("fitted once" in note for r in there for note in r["notes"])  # one random network under two names
    assert told[-1] == ("sweeps on Ray", told[-1][2], told[-1][2])
    assert len(list((tmp_path / "there" / "cells").iterdir())) == len(here)
    assert cluster.is_initialized()  # the caller's own stays


def test_a_mistake_over_there_is_told_as_it_is(cluster):
    run = engine_on_ray.engine(partial(load_data, "digitz"), device="cpu")
    with pytest.raises(Exception, match="'digitz'") as caught:
        list(run([[cell()]], SimpleNamespace(unfinished=None), None))
    assert type(caught.value).__module__ == "modelstitch.errors"


def test_a_gpu_that_the_cluster_lacks(cluster):
    run = engine_on_ray.engine(partial(os._exit, 1), device="cuda")
    with pytest.raises(StudyError, match="The device 'cuda' is not on the Ray cluster: expected a GPU on a node"):
        list(run([[cell()]], SimpleNamespace(unfinished=None), None))


def test_a_task_that_kills_its_worker_is_given_up_and_has_lost_no_record(cluster, tmp_path):
    """The first chunk of a sweep comes back while the second one is fitted, and stays when that one fails."""

    # Within the test, so that it goes to the worker whole: by its name, the worker would import this file, and cannot.
    def half(token, open_bench, cells, left):
        yield {"cell": "first"}
        time.sleep(0.5)
        os._exit(1)

    run = engine_on_ray.engine(partial(SimpleNamespace), device="cpu")
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_on_ray, "_task", half)
        patch.setattr(engine_on_ray, "RETRIES", 0)
        with pytest.raises(
            StudyError,
            match=r"The sweep a -> b was lost on the cluster \(WorkerCrashedError\): finished cells are kept",
        ):
            kept.extend(run([[cell(), cell()]], SimpleNamespace(unfinished=tmp_path / "unfinished"), None))
    assert kept == [{"cell": "first"}]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "head:"])
def test_an_address_where_no_cluster_is(address, monkeypatch):
    fake = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    monkeypatch.setattr(engine_on_ray, "need", lambda name: fake)
    run = engine_on_ray.engine(partial(os._exit, 1), address=address)
    with pytest.raises(
        StudyError, match=f"No Ray cluster can be used at {address} .*: expected the address of one that runs"
    ):
        list(run([[cell()]], SimpleNamespace(unfinished=None), None))


def refuse(**options):
    raise ConnectionError(ELSEWHERE)


def test_a_cluster_on_which_no_task_could_start():
    with pytest.raises(StudyError, match="The Ray cluster has no processor for a task: expected one at least"):
        engine_on_ray._gpus(SimpleNamespace(cluster_resources=lambda: {"memory": 1e9}), "cpu")
