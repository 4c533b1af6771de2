"""``modelstitch status`` and ``report`` of a study that has not ended."""

import pytest

from commands import run
from modelstitch import compare


def told(monkeypatch, capsys, *args):
    code, out, _ = run(monkeypatch, capsys, *args)
    assert not code
    return " ".join(out.split())


@pytest.mark.slow
def test_how_much_is_missing_is_said(pair, digits, tmp_path, monkeypatch, capsys):
    options = {"layers": ["block1", "block2"], "controls": ("self",), "objective": "match", "device": "cpu"}
    records = compare(*pair, digits, out=tmp_path, **options).records
    whole = told(monkeypatch, capsys, "status", str(tmp_path))
    assert "8 finished cells." in whole
    assert "are missing" not in whole
    for record in [r for r in records if r["config"]["control"] == "self"][:2]:
        (tmp_path / "cells" / f"{record['cell']}.json").unlink()
    part = told(monkeypatch, capsys, "status", str(tmp_path))
    assert "6 finished cells. 2 cells are missing: the command that made the folder goes on with them." in part
    code, _, err = run(monkeypatch, capsys, "figure", str(tmp_path), "-o", str(tmp_path / "part.svg"))
    assert code == 0
    assert err == f"caution: 2 cells are missing in {tmp_path}: the study has not ended, and this shows a part of it.\n"
    told(monkeypatch, capsys, "report", str(tmp_path))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "6 cells (2 more are missing: the study has not ended). Shown" in page
    compare(*pair, digits, out=tmp_path, **options)
    assert "are missing" not in told(monkeypatch, capsys, "status", str(tmp_path))


@pytest.mark.slow
def test_the_page_of_a_study_shows_samples(tmp_path, monkeypatch, capsys):
    net = 'model = "zoo:small-resnet?width=4&blocks=1", weights = "random"'
    grid = 'name = "two"\ndata = "digits"\nlimit = 120\nobjectives = ["match"]\ncontrols = "none"\n'
    (tmp_path / "s.toml").write_text(f"{grid}[donors]\na = {{{net}}}\nb = {{{net}, seed = 1}}\n")
    told(monkeypatch, capsys, "run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
