"""The page on studies: its commands and its file run as they stand, and its table names every key."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from modelstitch.cli import cli
from modelstitch.fit.options import FitSpec
from modelstitch.study.spec import StudySpec

PAGE = (Path(__file__).parent.parent / "docs" / "studies.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


def test_the_study_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (study,) = blocks("toml")
    (tmp_path / "study.toml").write_text(study, encoding="utf-8")
    told = []
    for line in "".join(blocks("bash")).splitlines():
        command, *arguments = shlex.split(line)
        assert command == "modelstitch"
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told.append(done.output)
    trained, ran, status = told[:3], told[3], told[4]
    assert all(output.split()[-1].rstrip(".") in study for output in trained)  # the folders are named as on the page
    assert "first -> second" in ran
    assert "third -> second" in re.sub(r"\s+", " ", status)
    assert (tmp_path / "runs" / "seeds.parquet").is_file()
    assert "Two seeds" in (tmp_path / "runs" / "seeds" / "report.html").read_text(encoding="utf-8")


def test_the_table_names_every_key():
    keys = set(re.findall(r"`\[?(\w+)\]?`", " ".join(re.findall(r"^\| (.*?) \|", PAGE, flags=re.M))))
    assert keys == set(StudySpec.model_fields)
    named = re.search(r"`\[fit\]` \| (.*?):", PAGE)
    assert named
    assert set(re.findall(r"`(\w+)`", named[1])) <= set(FitSpec.model_fields)
