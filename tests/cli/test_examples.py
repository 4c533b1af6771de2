"""``modelstitch examples``: which samples break."""

import json

import polars as pl
import pytest

import modelstitch as ms
from commands import run


@pytest.fixture(scope="module")
def folder(pair, digits, tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    ms.compare(*pair, digits, layers=["block1", "block2"], objective="match", controls=("random",), out=place)
    return place


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "test samples that the top gets right"),
        (["--by", "class"], "-o FILE.csv has all of them"),
        (["--by", "difficulty"], "All 2 networks are right on"),
        (["--control", "random"], "test samples that the top gets right"),
    ],
)
def test_a_folder_is_told_sample_by_sample(folder, monkeypatch, capsys, options, words):
    code, out, _ = run(monkeypatch, capsys, "examples", str(folder), *options)
    assert not code
    assert words in " ".join(out.split())


def test_all_rows_go_into_a_file_and_into_json(folder, monkeypatch, capsys, tmp_path):
    code, out, _ = run(monkeypatch, capsys, "examples", str(folder), "-o", str(tmp_path / "all.csv"), "--json")
    assert not code
    rows = ms.open(folder).breaks()
    assert pl.read_csv(tmp_path / "all.csv").height == rows.height
    assert len(json.loads(out)["rows"]) == rows.height


def test_a_control_that_is_not_there_is_refused(folder, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "examples", str(folder), "--control", "self")
    assert code == 2
    assert "nothing to tell sample by sample of 'self'" in " ".join(err.split())


def test_data_show_texts_alone_and_where_they_break(folder, monkeypatch, capsys):
    for options, words in (
        (["--data", "digits"], "The test samples are no texts"),
        (["--data", "digits", "--limit", "100"], "another test split than the records"),
        (["--data", "digits", "--by", "class"], "use it with --by break"),
    ):
        code, _, err = run(monkeypatch, capsys, "examples", str(folder), *options)
        assert code == 2
        assert words in " ".join(err.split())


def test_the_page_of_a_folder_shows_images_where_data_are_named(folder, monkeypatch, capsys, tmp_path):
    code, _, _ = run(monkeypatch, capsys, "report", str(folder), "--data", "digits", "--out", str(tmp_path / "p.html"))
    assert not code
    assert "<img" in (tmp_path / "p.html").read_text(encoding="utf-8")
