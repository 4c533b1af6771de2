"""The page on studies: its commands and its file run as they stand, and its table names every key."""

import re

import pytest

from modelstitch.engine.fit.options import FitSpec
from modelstitch.study.spec import StudySpec
from pages import blocks, run_commands, text

PAGE = "docs/studies.md"


@pytest.mark.slow
def test_the_study_runs_as_written(tmp_path, monkeypatch):
    (study,) = blocks(PAGE, "toml")
    (tmp_path / "study.toml").write_text(study, encoding="utf-8")
    told = run_commands("".join(blocks(PAGE, "bash")), tmp_path, monkeypatch)
    trained, foreseen, ran, status = told[:3], told[3], told[4], told[5]
    assert "28 cells: 0 kept already, 28 to run." in foreseen
    assert all(output.split()[-1].rstrip(".") in study for output in trained)  # the folders are named as on the page
    assert "first -> second" in ran
    assert "third -> second" in re.sub(r"\s+", " ", status)
    assert (tmp_path / "runs" / "seeds.parquet").is_file()
    assert "Two seeds" in (tmp_path / "runs" / "seeds" / "report.html").read_text(encoding="utf-8")


def test_the_table_names_every_key():
    keys = set(re.findall(r"`\[?(\w+)\]?`", " ".join(re.findall(r"^\| (.*?) \|", text(PAGE), flags=re.M))))
    assert keys == {*StudySpec.model_fields, "family", "objective"}  # one, beside several
    named = re.search(r"`\[fit\]` \| (.*?):", text(PAGE))
    assert named
    assert set(re.findall(r"`(\w+)`", named[1])) <= set(FitSpec.model_fields)
