"""A declared study runs from its TOML file, continues, and refuses an engine that does not exist."""

import pytest

from modelstitch.errors import StudyError
from modelstitch.study.declared import run_study
from modelstitch.study.spec import load_spec

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


def test_a_study_runs_and_continues(tmp_path):
    (tmp_path / "study.toml").write_text(TEXT)
    spec = load_spec(tmp_path / "study.toml")
    records, plain = run_study(spec, tmp_path / "out", device="cpu")
    assert plain["name"] == "two random nets"
    assert {(r["config"]["bottom"]["name"], r["config"]["top"]["name"]) for r in records} == {("a", "b"), ("b", "a")}
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "cells").iterdir()}
    run_study(spec, tmp_path / "out", device="cpu")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "cells").iterdir()} == times


def test_an_engine_that_is_not_built_is_refused(tmp_path):
    (tmp_path / "study.toml").write_text('engine = "ray"\n' + TEXT)
    with pytest.raises(StudyError, match="'ray' is not built yet: expected 'local'"):
        run_study(load_spec(tmp_path / "study.toml"), tmp_path / "out")
