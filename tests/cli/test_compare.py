"""``modelstitch compare`` and its tables."""

import pytest
from safetensors.torch import save_file

import modelstitch as ms
from commands import run
from modelstitch.cli.common import penalty_tables
from modelstitch.records.record import Metric, Record
from modelstitch.study.store import Store
from modelstitch.zoo.nets import build

NET = "small-resnet?width=4"


QUICK = ["--layers", "block1", "--objective", "match", "--control", "none", "--device", "cpu"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "names"),
    [(("old", "new"), (" (old)", " (new)")), (("", ""), (" (random)", " (random)"))],
    ids=["weights", "one model"],
)
def test_two_of_one_name_are_told_apart_and_one_is_one(monkeypatch, capsys, tmp_path, files, names):
    sides = []
    for side, stem in zip(("bottom", "top"), files):
        if stem:
            save_file(build(NET, seed=len(sides), classes=10).state_dict(), tmp_path / f"{stem}.safetensors")
            sides += [f"--{side}-weights", str(tmp_path / f"{stem}.safetensors")]
    out = tmp_path / "out"
    code, told, _ = run(monkeypatch, capsys, "compare", f"zoo:{NET}", f"zoo:{NET}", *sides, *QUICK, "--out", str(out))
    one, other = (f"small-resnet{name}" for name in names)
    assert not code
    assert f"{one} -> {other}: penalty" in " ".join(told.split())
    assert one in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bottom", "top", "beside", "named"),
    [
        ("a", "b", None, {"a": "small-resnet (a)", "b": "small-resnet (b)"}),
        ("a", "a", None, {}),
        ("a", "b", "c", {"a": "small-resnet (a)", "b": "small-resnet (b)"}),
        ("a", "a", "c", {"c": "small-resnet (other seed)"}),
        ("a", "b", "a", {"a": "small-resnet (a)", "b": "small-resnet (b)"}),
    ],
    ids=["two", "one beside itself", "two and another seed", "one and another seed", "the bottom is the other seed"],
)
def test_both_doors_ask_for_the_same_cells(monkeypatch, capsys, tmp_path, bottom, top, beside, named):
    """What is the same network in Python is the same one on the command line, by the same name."""
    files = {stem: tmp_path / f"{stem}.safetensors" for stem in "abc"}
    for seed, file in enumerate(files.values()):
        save_file(build(NET, seed=seed, classes=10).state_dict(), file)
    model, out = f"zoo:{NET}", tmp_path / "out"
    more = [] if beside is None else ["--other-seed", model, "--other-seed-weights", str(files[beside])]
    asked = ["--layers", "block1", "--objective", "match", "--control", "self", "--device", "cpu", "--limit", "200"]
    code, _, told = run(
        monkeypatch,
        capsys,
        "compare",
        model,
        model,
        "--bottom-weights",
        str(files[bottom]),
        "--top-weights",
        str(files[top]),
        *more,
        *asked,
        "--out",
        str(out),
    )
    assert not code, told
    data = ms.load_data("digits", limit=200)
    there = {
        stem: ms.load(model, weights=file, name=named.get(stem), input_shape=data.sample_shape, classes=10)
        for stem, file in files.items()
    }
    question = {"layers": "block1", "objective": "match", "controls": ("self",), "device": "cpu"}
    if beside is not None:
        question["other_seeds"] = {there[top].name: there[beside]}
    found = ms.compare(there[bottom], there[top], data, **question)
    assert {r.cell for r in found.records} == {r.cell for r in Store(out).records()}
    assert ("other-seed" in {r.control for r in found.records}) == (beside is not None)


def test_the_top_is_no_other_seed_of_itself(monkeypatch, capsys, tmp_path):
    model = f"zoo:{NET}"
    code, _, told = run(
        monkeypatch, capsys, "compare", model, model, "--other-seed", model, *QUICK, "--out", str(tmp_path / "out")
    )
    assert code == 2
    assert "expected another network than 'small-resnet' as its other seed" in told


def record(layer, family, value):
    return {
        "cell": "",
        "config": {
            "control": "pair",
            "family": family,
            "objective": "task",
            "fit": {"samples": None},
            "data": {"fit": 9},
            "bottom": {"name": "a", "layer": layer, "index": 0},
            "top": {"name": "b", "layer": layer, "index": len(layer)},
        },
        "metrics": (Metric("penalty", value, None, None, "points"),),
    }


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


@pytest.mark.slow
def test_a_top_at_chance_is_noted(monkeypatch, capsys, tmp_path):
    wide, narrow = f"zoo:{NET}", "zoo:small-resnet?width=3"
    _, told, _ = run(monkeypatch, capsys, "compare", wide, narrow, *QUICK, "--one-way", "--out", str(tmp_path))
    assert "than chance for 10 classes, so that a penalty says nothing" in told
