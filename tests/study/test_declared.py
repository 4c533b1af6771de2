"""A declared study runs from its TOML file, and continues."""

import tomllib

import pytest

from modelstitch.data.load import load_data
from modelstitch.errors import StudyError
from modelstitch.study.declared import _donor, run_study
from modelstitch.study.spec import load_spec, parse_spec
from modelstitch.views import Normalise

TEXT = """
name = "two random nets"
data = "digits"
controls = ["identity"]
layers = ["block2"]
objectives = ["match"]
[donors]
a = "zoo:small-resnet?width=4"
b = {model = "zoo:small-resnet?width=4"}
"""


@pytest.mark.slow
def test_a_study_runs_and_continues(tmp_path):
    (tmp_path / "study.toml").write_text(TEXT)
    spec = load_spec(tmp_path / "study.toml")
    records, plain = run_study(spec, tmp_path / "out", device="cpu")
    assert plain["name"] == "two random nets"
    assert {(r["config"]["bottom"]["name"], r["config"]["top"]["name"]) for r in records} == {("a", "b"), ("b", "a")}
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "cells").iterdir()}
    run_study(spec, tmp_path / "out", device="cpu")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "cells").iterdir()} == times


@pytest.mark.slow
def test_another_seed_and_a_second_test_set(tmp_path):
    more = 'c = "zoo:small-resnet?width=4"\n'
    head = 'pairs = [["a", "b"]]\nsecond = "digits"\nother_seeds = {b = "c"}\n'
    (tmp_path / "study.toml").write_text(head + TEXT + more)
    records, plain = run_study(load_spec(tmp_path / "study.toml"), tmp_path / "out", device="cpu")
    assert (plain["second"], plain["other_seeds"]) == ("digits", {"b": "c"})
    by_control = {r["config"]["control"]: r for r in records}
    assert set(by_control) == {"pair", "identity", "other-seed"}
    assert by_control["other-seed"]["config"]["bottom"]["name"] == "c"
    for record in records:
        found = {m["metric"]: m["value"] for m in record["metrics"]}
        assert found["second_penalty"] == found["penalty"]  # the same test split twice


def test_studies_without_them_are_what_they_were(tmp_path):
    (tmp_path / "study.toml").write_text(TEXT)
    assert not {"second", "other_seeds"} & set(load_spec(tmp_path / "study.toml").identity())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('other_seeds = {b = "z"}', "names of the networks 'a', 'b' in other_seeds, not 'z'"),
        ('other_seeds = {b = "b"}', "another network than 'b' as its other seed"),
    ],
)
def test_other_seeds_that_cannot_be(tmp_path, line, message):
    (tmp_path / "study.toml").write_text(line + "\n" + TEXT)
    with pytest.raises(StudyError, match=f"study.toml: expected {message}"):  # of no one field
        load_spec(tmp_path / "study.toml")


def test_a_donor_with_mean_and_std(tmp_path):
    plain = parse_spec(tomllib.loads(TEXT))
    seen = parse_spec(tomllib.loads(TEXT.replace('width=4"}', 'width=4", mean = [0.3], std = 0.4}')))
    assert "mean" not in plain.identity()["donors"]["b"]  # as it was before there was such a thing
    assert seen.identity()["donors"]["b"] == plain.identity()["donors"]["b"] | {"mean": [0.3], "std": 0.4}
    networks = [_donor(spec, "b", load_data("digits", limit=100)) for spec in (plain, seen)]
    assert [network.has_view for network in networks] == [False, True]
    assert networks[1].view == Normalise(0.3, 0.4, size=8)
