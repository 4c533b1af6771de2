"""The tutorial on a cluster runs as written; pages of the site that are made of something else can be made."""

import re

import pytest

from pages import ROOT, blocks, run_commands, text

PAGE = "docs/tutorials/cluster.md"


@pytest.mark.slow
def test_the_study_runs_in_shards(tmp_path, monkeypatch):
    (study,) = blocks(PAGE, "toml")
    (tmp_path / "study.toml").write_text(study, encoding="utf-8")
    told = run_commands("".join(blocks(PAGE, "bash")), tmp_path, monkeypatch)
    assert "Nothing was fitted" in told[2]
    assert "none is missing" in told[4]
    assert (tmp_path / "runs/seeds/report.html").is_file()


def test_notebooks_and_commands_become_pages(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import made

    told = made.tutorial(ROOT / "docs/notebooks/pair.ipynb")
    assert told.startswith("# Two checkpoints\n\n[This page as a notebook]")
    assert told.count('<div class="output">') >= 5
    assert "<svg" in told
    commands = made.commands()
    assert "\n## compare\n" in commands
    assert "--dry-run" in commands


def test_pictures_of_the_gallery_are_there():
    found = re.findall(r"\]\((\S+?)\)", text("docs/gallery.md"))
    assert len(found) > 20
    assert [one for one in found if not (ROOT / "docs" / one).is_file()] == []
