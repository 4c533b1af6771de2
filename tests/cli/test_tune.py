"""``modelstitch tune``: a kept stitch is trained further, and stays as it was."""

import pytest

from commands import run


@pytest.mark.slow
def test_a_kept_stitch_is_tuned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        assert not run(monkeypatch, capsys, "train", "small-resnet?width=4", "--steps", "4", "--seed", str(seed))[0]
    one, two = sorted(str(path) for path in (tmp_path / "runs" / "donors").iterdir())
    assert not run(monkeypatch, capsys, "stitch", f"{one}@block2", f"{two}@block2", "--steps", "4", "--out", "s")[0]
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    options = ["--unfreeze", "after:block3", "--steps", "4", "--out", "tuned"]
    code, out, _ = run(monkeypatch, capsys, "tune", "s", *options)
    assert not code
    assert "tuned on the task with after:block3 unfrozen: no penalty of frozen networks" in " ".join(out.split())
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before
    assert (tmp_path / "tuned" / "stitch.json").exists()
    told = " ".join(run(monkeypatch, capsys, "tune", "s", "--steps", "120", "--out", "dry", "--dry-run")[1].split())
    assert "1 cell, 120 steps of 128 samples with 20 numbers free." in told
    assert "over 1,000 samples of fit, 4 looks at 200 of val, 1 at 597 of test." in told
    assert "from measured steps and a look. The tuned stitch would be in dry." in told
    assert not (tmp_path / "dry").exists()
    code, _, err = run(monkeypatch, capsys, "tune", "s", "--unfreeze", "half", "--out", "again")
    assert code == 2
    assert "unfreeze='half' is unknown" in " ".join(err.split())
