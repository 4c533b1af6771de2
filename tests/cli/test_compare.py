"""``modelstitch compare`` and its tables."""

import pytest
from safetensors.torch import save_file

from commands import run
from modelstitch.cli.common import penalty_tables
from modelstitch.study.record import Metric, Record
from modelstitch.zoo.nets import build

NET = "small-resnet?width=4"


QUICK = ["--layers", "block1", "--objective", "match", "--control", "none", "--device", "cpu"]


@pytest.mark.parametrize(
    ("files", "names"),
    [(("old", "new"), ("old", "new")), (("", ""), ("first", "second"))],
    ids=["weights", "one model"],
)
def test_two_of_one_name_are_told_apart(monkeypatch, capsys, tmp_path, files, names):
    sides = []
    for side, stem in zip(("bottom", "top"), files):
        if stem:
            save_file(build(NET, seed=len(sides), classes=10).state_dict(), tmp_path / f"{stem}.safetensors")
            sides += [f"--{side}-weights", str(tmp_path / f"{stem}.safetensors")]
    out = tmp_path / "out"
    code, told, _ = run(
        monkeypatch, capsys, "compare", f"zoo:{NET}", f"zoo:{NET}", *sides, *QUICK, "--out", str(out)
    )  # fmt: skip
    mark = "" if files[0] else " (random)"
    one, other = (f"small-resnet ({name}){mark}" for name in names)
    assert not code
    assert f"{one} -> {other}: penalty" in " ".join(told.split())
    assert one in (out / "report.html").read_text(encoding="utf-8")


def record(layer, family, value):
    return {
        "cell": "", "config": {
            "control": "pair", "family": family, "objective": "task", "fit": {"samples": None}, "data": {"fit": 9},
            "bottom": {"name": "a", "layer": layer, "index": 0}, "top": {"name": "b", "layer": layer, "index": len(layer)},
        },
        "metrics": (Metric("penalty", value, None, None, "points"),),
    }  # fmt: skip


@pytest.mark.parametrize("count", [3, 12])
def test_many_settings_are_rows_and_layers_columns(capsys, count):
    records = [record(layer, f"low-rank:{i}", i + len(layer) / 10) for i in range(count) for layer in ("x", "yy")]
    penalty_tables([Record(**each) for each in records])
    told = capsys.readouterr().out
    head = next(line for line in told.splitlines() if "layer" in line or "stitch" in line)
    assert ("stitch" in head) == (count == 12)
    for i in range(count):
        assert f"low-rank:{i} task" in told
        assert f"+{i + 0.1:.1f}" in told
        assert f"+{i + 0.2:.1f}" in told


def test_a_top_at_chance_is_noted(monkeypatch, capsys, tmp_path):
    wide, narrow = f"zoo:{NET}", "zoo:small-resnet?width=3"
    _, told, _ = run(monkeypatch, capsys, "compare", wide, narrow, *QUICK, "--one-way", "--out", str(tmp_path))
    assert "than chance for 10 classes, so that a penalty says nothing" in told
