"""What all figures of one call share."""

import dataclasses

import pytest
from tiny import TINY, tiny_job

from modelstitch.errors import StudyError
from modelstitch.paper.figure import Model


def test_data_are_cut_to_what_the_scale_measures_on_and_kept(tmp_path):
    job = tiny_job(tmp_path)
    assert job.scale is TINY
    assert job.data is job.data
    for split, n in TINY.measured_on.items():
        assert job.data.size(split) <= (n or job.data.size(split))
    half = job.seen_by(Model(samples=0.5))
    assert half.size("fit") == round(0.5 * job.data.size("fit"))
    assert job.seen_by(Model(samples=0.5, seed=3)) is half  # the share decides, not the network
    assert job.seen_by(Model(samples=0.5, part=1)) is not half


def test_a_folder_belongs_to_one_scale_and_its_data(tmp_path):
    job = tiny_job(tmp_path)
    with job.store.begun():
        job.workshop.network(Model())
    with pytest.raises(StudyError, match='expected scale = "tiny", found scale = "other"'):
        tiny_job(tmp_path, dataclasses.replace(TINY, name="other"))


def test_pages_get_the_data_as_they_were_given_without_paths(tmp_path):
    job = tiny_job(tmp_path, given="parquet:/home/me/x?size=8")
    assert job.given == "parquet:DIR?size=8"
    assert job.other == ""
