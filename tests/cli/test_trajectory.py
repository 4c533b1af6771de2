"""``modelstitch trajectory``: from when on layers serve."""

import pytest

import modelstitch as ms
from commands import run


@pytest.fixture(scope="module")
def folder(pair, digits, tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    nets = [pair[0].named("early"), pair[0].named("late"), pair[1]]
    pairs = [(name, pair[1].name) for name in ("early", "late")]
    ms.compare(nets, data=digits, pairs=pairs, layers="block2", objective="match", controls=(), out=place)
    return place


def test_times_are_given_by_name(folder, monkeypatch, capsys, tmp_path):
    options = ["--time", "early=10", "--time", "late=20", "-o", str(tmp_path / "t.svg")]
    code, out, _ = run(monkeypatch, capsys, "trajectory", str(folder), *options)
    assert not code
    assert "the penalty stays low at block2" in " ".join(out.split())
    assert (tmp_path / "t.svg").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--time", "early"], "expected NAME=STEP such as"),
        (["--time", "early=soon"], "expected NAME=STEP such as"),
        ([], "two times at least, found 0"),
    ],
)
def test_mistakes_get_one_sentence(folder, monkeypatch, capsys, options, words):
    code, _, err = run(monkeypatch, capsys, "trajectory", str(folder), *options)
    assert code == 2
    assert words in " ".join(err.split())
