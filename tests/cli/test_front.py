"""``modelstitch front``: which stitches pay."""

import pytest

from commands import run


@pytest.mark.slow
def test_the_command_names_what_pays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed, net in ((0, "small-resnet?width=4"), (1, "small-resnet?width=2")):
        assert not run(monkeypatch, capsys, "train", net, "--steps", "4", "--seed", str(seed), "--out", "d")[0]
    models = sorted(str(path) for path in (tmp_path / "d").iterdir())
    options = ["--objective", "match", "--layers", "block2", "--control", "none", "--out", "run"]
    assert not run(monkeypatch, capsys, "compare", *models, *options)[0]
    code, out, _ = run(monkeypatch, capsys, "front", "run", *models, "--rounds", "1", "-o", "front.svg")
    assert not code
    assert "multiplications a sample" in out
    assert "The figure is front.svg." in out
    assert (tmp_path / "front.svg").exists()
    told = run(monkeypatch, capsys, "front", "run", *models, "--exported", "pt2", "-o", "again.svg", "--dry-run")[1]
    told = " ".join(told.split())
    assert "2 stitches and 2 whole networks, 19 calls of each with 1 sample, and 4 files (pt2) to write" in told
    assert "Nothing was kept or written." in told
    assert "The figure would be again.svg." in told
    assert not (tmp_path / "again.svg").exists()
    code, _, err = run(monkeypatch, capsys, "front", "run", models[0], "--dry-run")
    assert code == 2
    assert "expected one with the fingerprint" in " ".join(err.split())
