"""Benchmarks run to their end at a tiny size: what they ask of the package is there."""

from __future__ import annotations

import importlib
import importlib.util
import json
import runpy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils.data import Subset

import modelstitch as ms
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import Recipe
from others import quick_programs

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NET = "small-resnet?width=4&blocks=2"
SMALL = {
    "bound": ["--fit", "80", "--val", "20", "--test", "20", "--steps", "2", "--only", "pair,similarity"],
    "align": ["--rows", "2000", "--width", "32", "--rounds", "1", "--queries", "20"],
    "interval_coverage": ["--runs", "2"],
    "family": [
        "--rounds",
        "1",
        "--networks",
        "3",
        "--examples",
        "32",
        "--test",
        "16",
        "--layers",
        "2",
        "--width",
        "4",
        "--shuffles",
        "2",
    ],
    "family_reference": ["--fit", "80", "--test", "40", "--every", "5"],
    "seams": ["--fit", "100", "--val", "50", "--test", "50"],
    "foretold": ["--width", "2", "--rows", "600", "--steps", "1", "--only", "align"],
    "large": [
        *("--layers", "3", "--width", "64", "--hidden", "96", "--heads", "4", "--vocabulary", "80"),
        *("--fit", "40", "--test", "6", "--memory", "0.001", "--threads", "1"),
    ],
    "cka_layers": ["--rounds", "1", "--batches", "1", "--full", "1024", "--pairs", "8/8", "--side", "8"],
    "recipe": [
        *("--fit", "256", "--val", "60", "--cap", "4", "--rounds", "1", "--layers", "block8>block7,block9"),
        *("--bottom", "zoo:resnet20?width=2", "--top", "zoo:resnet20?width=2"),
    ],
    "memory": ["--cases", "tiny", "--samples", "32"],
    "tricks": ["--rounds", "1", "--threads", "1", "--only", "gram"],
    "matrix": ["--rounds", "1", "--examples", "16", "--layers", "2"],
    "ways": ["--rounds", "1", "--only", "unlike"],
}
KEEPING = ("recipe",)  # take a folder for what they have measured
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def beside(tmp_path, monkeypatch):
    """Pages go to a folder of the test's own, programs of their own start in a moment, the caller's threads stay."""
    quick_programs(monkeypatch, tmp_path)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(importlib.import_module("side_by_side"), "RESULTS", tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_every_benchmark_runs_at_a_tiny_size():
    tests = [
        p.read_text("utf-8") for p in Path(__file__).parent.glob("test_*.py") if "benchmarks" in p.read_text("utf-8")
    ]
    for path in BENCHMARKS.glob("*.py"):
        if "__main__" in path.read_text("utf-8"):
            named = any(
                f'"{path.stem}"' in text or f'"{path.name}"' in text or f"import {path.stem}" in text for text in tests
            )
            assert named, f"{path.name} is run by no test: give it a tiny size"


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_to_its_end(name, monkeypatch, capsys, tmp_path):
    work = ["--work", str(tmp_path / "work")] if name in KEEPING else []
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *SMALL[name], *work])
    runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out.strip()


def test_default_fits_are_held_against_long_ones(monkeypatch, capsys, tmp_path):
    small = ["--fit", "80", "--val", "20", "--test", "20", "--steps", "2", "--layers", "block9", "--out", str(tmp_path)]
    for _ in range(2):  # what is there is not run again
        monkeypatch.setattr(sys, "argv", ["bound.py", "converged", *small])
        runpy.run_path(str(BENCHMARKS / "bound.py"), run_name="__main__")
        (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| block9")]
        assert len(row.split("|")) == 8
    kept = {p.parent.parent.name: p for p in tmp_path.glob("*/cells/*")}
    assert sorted(kept) == ["closed", "default", "random"]


@pytest.mark.parametrize("kind", ["compared", "matrix", "alike", "trained"])
def test_what_a_kind_of_work_takes_is_said_before_it(kind):
    foretold = importlib.import_module("foretold")
    asked = {"layers": "all", "objective": "match", "controls": (), "both": False}
    made = {
        "compared": lambda: foretold.compared(2, 1, layers="block2", controls=()),
        "matrix": lambda: foretold.compared(2, 0, **asked),
        "alike": lambda: foretold.alike(2),
        "trained": lambda: foretold.trained(2),
    }
    said, work = made[kind]()
    assert all(number > 0 for number in said())
    assert callable(work)


def test_fits_of_several_lengths_are_held_against_each_other(monkeypatch, capsys):
    small = ["--fit", "80", "--val", "20", "--test", "20", "--layers", "block9", "--lengths", "0,2,2x16"]
    monkeypatch.setattr(sys, "argv", ["bound.py", "lengths", *small])
    runpy.run_path(str(BENCHMARKS / "bound.py"), run_name="__main__")
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    none, whole, part = ([cell.strip() for cell in row] for row in rows if row[0].strip() in ("0", "2", "2x16"))
    assert len(none) == 5
    assert none[3:] == ["0.0", "0.0"]
    assert float(whole[3]) > float(part[3]) > 0


def test_a_sweep_is_held_against_the_papers_recipe_looks_counted(monkeypatch, capsys, tmp_path):
    data, work = ms.load_data("digits"), tmp_path / "work"
    recipe = Recipe(steps=20, lr=0.2, schedule="one-cycle", batch_size=64)
    for seed in (0, 1):
        donor(DonorSpec(NET, recipe, seed=seed), data, tmp_path / "donors")
    one, two = sorted(path.parent for path in (tmp_path / "donors").glob("*/card.json"))
    monkeypatch.setattr(importlib.import_module("sweep_page"), "CAP", 40)
    small = ["--samples", "384", "--val", "60", "--seams", "block2", "--repeats", "1", "--steps", "4"]
    given = ["--bottom", str(one), "--top", str(two), "--data", "digits", "--work", str(work), *small]
    monkeypatch.setattr(sys, "argv", ["sweep.py", *given])
    runpy.run_path(str(BENCHMARKS / "sweep.py"), run_name="__main__")
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "every look at the validation split" in line]
    assert float(said.partition("**")[2].partition(" times")[0]) > 0
    ours = json.loads((work / "ours-closing-0.json").read_text())
    assert ours["looks"] > 0
    rates = ["--pair", str(one), str(two), "--data", "digits", "--work", str(tmp_path / "rates"), "--samples", "384"]
    monkeypatch.setattr(sys, "argv", ["rates.py", *rates, "--val", "60"])
    monkeypatch.setattr(importlib.import_module("rates"), "SETTINGS", {"as it is": {}})
    importlib.import_module("rates").main()
    assert "| as it is |" in capsys.readouterr().out


def test_a_stitch_is_timed_beside_its_layers(monkeypatch, capsys):
    forward = importlib.import_module("stitched_forward")
    monkeypatch.setattr(forward, "CASES", [("resnet20?width=4", ("block3",))])
    monkeypatch.setattr(sys, "argv", ["stitched_forward.py", "--rounds", "2"])
    forward.main()
    assert "resnet20?width=4" in capsys.readouterr().out


def test_a_step_of_training_is_timed_beside_a_bare_one(monkeypatch, capsys):
    training = importlib.import_module("training")
    monkeypatch.setattr(training, "NETS", {NET: {}})
    monkeypatch.setattr(sys, "argv", ["training.py", "--rounds", "2", "--data", "digits"])
    training.main()
    assert f"| `{NET}` |" in capsys.readouterr().out


def test_figures_are_timed_by_two_processes_beside_one(monkeypatch, capsys):
    workers = importlib.import_module("workers")
    asked = []
    monkeypatch.setattr(workers, "seconds", lambda figures, *way: asked.append((figures, way)) or 60.0 / way[0])
    monkeypatch.setattr(sys, "argv", ["workers.py", "--figures", "4", "--rounds", "2"])
    workers.main()
    assert asked == 2 * [(["4"], (1, 1)), (["4"], (1, 2)), (["4"], (2, 2))]
    assert "| two processes, a thread each | 30 | 2.00 | 2.00 |" in capsys.readouterr().out


def test_layers_are_measured_beside_bare_passes_over_the_same_batches():
    cka = importlib.import_module("cka_layers")
    images = torch.randn(2 * cka.BATCH, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one, two = (cka.Lifted(seed, images).eval() for seed in (0, 1))
    first, second, data = cka.networks(one, two, images)
    layers, seen = (["convs.0", "convs.1"], ["convs.1"]), []
    found = cka.in_turns(lambda: cka.ours(first, second, layers, data), data, seen.append, images, 1)
    assert [len(batch) for batch in seen] == [cka.BATCH] * 4  # a round that warms up, and one
    assert len(found["bare"].clock) == len(found["modelstitch"].clock) == 1
    errors: list[tuple[str, ...]] = []
    cka.check("small", one, two, images, errors)
    assert float(errors[0][2]) < 1e-5


def test_calibration_is_measured():
    calibration = importlib.import_module("calibration")
    assert len(calibration.null_draws("rsa", 2, None)) == 6
    assert [row[0] for row in calibration.family_draws(1)] == ["one pair of layers", "best of a grid"]
    assert calibration.covered("cka_linear_debiased", 20, 1)[:2] == ["cka_linear_debiased", "20"]


def test_the_tables_of_two_encoders(monkeypatch):
    pair = importlib.import_module("align_pair")
    monkeypatch.setattr(pair, "SIZES", (40, 150))
    monkeypatch.setattr("modelstitch.arrays.solve.FEWEST_STEPS", 5)
    monkeypatch.setattr("modelstitch.arrays.solve.MOST_STEPS", 5)
    old = torch.randn(200, 6).numpy()
    labels = (old[:, 0] > 0).astype(int)
    made = pair.part(old, old[:, ::-1].copy(), torch.arange(150, 200).numpy(), labels, "one", "two")
    assert "| embedded anew |" in made[7]
    assert made[0] == "## one -> two"
    assert "| 150 | 100.0 [94.3, 100.0]" in made[2]  # none of 50 queries was missed
    assert "| farthest |" in made[-1]


def test_penalties_of_few_images_are_written_with_their_intervals():
    few = importlib.import_module("few_anchors")
    rows = few.pl.DataFrame({"value": [1.26], "low": [-0.5], "high": [3.0]})
    assert few.cell(rows) == "+1.3 [-0.5, 3.0]"
    assert few.cell(rows.clear()) == ""


def few(data, fit=120, val=40, test=60):
    """A few samples of each split."""
    parts = (Subset(data.dataset(split), range(n)) for split, n in zip(("fit", "val", "test"), (fit, val, test)))
    return ms.Data(*parts, n_classes=data.n_classes)


def small_pair():
    """Two untrained networks."""
    example = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return [ms.Network(build(NET, seed=i).eval(), example, "ab"[i]) for i in (0, 1)]


def test_quicker_forms_of_a_network_are_timed(monkeypatch, capsys):
    passes = importlib.import_module("passes")
    monkeypatch.setattr(passes, "NETS", {f"zoo:{NET}": 2})
    monkeypatch.setattr(sys, "argv", ["passes.py", "--rounds", "1", "--nets", f"zoo:{NET}"])
    passes.main()
    said = capsys.readouterr().out
    assert said.count("| without norms scaled |") == 2
    assert "| traced again |" in said


def test_sums_of_all_pairs_are_timed_beside_bare_passes(monkeypatch, capsys):
    moments = importlib.import_module("moments")
    monkeypatch.setattr(moments, "NET", f"{NET}&in_channels=3")

    def here(examples):
        moments.alone(examples)
        return tuple(map(float, capsys.readouterr().out.split()[-2:]))

    monkeypatch.setattr(moments, "_alone", here)
    monkeypatch.setattr(sys, "argv", ["moments.py", "--rounds", "1", "--examples", "16"])
    moments.main()
    assert "| float64, 64 positions |" in capsys.readouterr().out


def test_the_examples_of_a_page_are_run_and_timed(monkeypatch, capsys, tmp_path):
    minute = importlib.import_module("one_minute")
    text = "# Page\n\n## One\n\n```python\nopen('a', 'w').write('1')\n```\n\n```bash\nthis\n```\n\n## Two\n"
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    monkeypatch.setattr(minute, "HOW_TO", tmp_path)
    monkeypatch.setattr(minute, "PAGES", {"page.md": None})
    monkeypatch.setattr(sys, "argv", ["one_minute.py"])
    minute.main()
    assert "| One | 0 |" in capsys.readouterr().out
    (tmp_path / "page.md").write_text(text.replace("open(", "shut("), encoding="utf-8")
    with pytest.raises(SystemExit, match="NameError"):
        minute.main()


def test_our_maps_are_held_against_those_of_others(monkeypatch, capsys):
    beside = importlib.import_module("beside_latentis")

    def least_squares(x, y):
        found = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution
        return lambda rows: (rows - x.mean(0)) @ found + y.mean(0)

    monkeypatch.setattr(beside, "theirs", lambda: {"affine:0": least_squares})
    monkeypatch.setattr(beside.importlib.metadata, "version", lambda name: "0")
    monkeypatch.setattr(beside, "WIDTHS", ((6, 4),))
    monkeypatch.setattr(beside, "ANCHORS", (100,))
    monkeypatch.setattr(sys, "argv", ["beside_latentis.py"])
    beside.main()
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("affine:0 6 -> 4")]
    assert float(row[-2]) < 1e-6
    assert float(row[-1]) < 1e-3


def test_a_model_is_covered(monkeypatch, capsys, tmp_path):
    spec = importlib.util.spec_from_file_location("covered", BENCHMARKS / "coverage.py")  # a package has its name
    covered = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(covered)
    (entry,) = [entry for entry in covered.TABLE if entry.name == "zoo:vit"]
    record = covered.measure(entry)
    assert record["traced"]
    assert not record["wrong"]
    assert not record["unstitched"]
    covered.write(tmp_path / "one.json", record)
    monkeypatch.setattr(sys, "argv", ["coverage.py", "--write", "--only", entry.name, "--records", str(tmp_path)])
    covered.main()
    assert "1 of 1 models traced" in capsys.readouterr().out


@pytest.mark.parametrize(
    "part", ["class_noise", "half_random", "statistics_that_move", "late_into_early", "chosen_on_the_test_set"]
)
def test_pitfalls_are_told(part, monkeypatch):
    pitfalls = importlib.import_module("pitfalls")
    for name, value in {"STEPS": 2, "LOOKED_AT": 20, "DRAWS": 2}.items():
        monkeypatch.setattr(pitfalls, name, value)
    said = getattr(pitfalls, part)(*small_pair(), few(ms.load_data("digits")))
    assert said[0].startswith("## ")


def test_least_squares_and_the_tops_own_metric_are_held_against_each_other(monkeypatch, capsys):
    sensitivity, data = importlib.import_module("sensitivity"), few(ms.load_data("digits"))
    nets = dict(zip(sensitivity.TUNED, small_pair()))
    monkeypatch.setattr(sensitivity, "network", lambda name, folder: nets[name])
    monkeypatch.setattr(sensitivity, "SEAMS", ((sensitivity.TUNED, ["block1"]),))
    monkeypatch.setattr(sensitivity, "ANCHORS", [30])
    monkeypatch.setattr(sensitivity.ms, "load_data", lambda spec, limit: data)
    monkeypatch.setattr(sys, "argv", ["sensitivity.py", "--data", "none", "--networks", "none"])
    sensitivity.main()
    assert "| a -> b, block1 | 30 | 0 |" in capsys.readouterr().out


def test_what_a_gpu_would_be_asked_runs(monkeypatch, capsys):
    gpu = importlib.import_module("gpu")
    monkeypatch.setattr(gpu, "NETS", (f"{NET}&in_channels=3",))
    monkeypatch.setattr(gpu, "DEEP", f"{NET}&in_channels=3")
    monkeypatch.setattr(gpu, "WARM", 1)
    monkeypatch.setattr(gpu.ms, "compare", partial(ms.compare, layers=["block1"], steps=1, both=False))
    for part, said in (("steps", "ms a step"), ("untrained", "stitches in")):
        monkeypatch.setattr(sys, "argv", ["gpu.py", part, "--device", "cpu", "--samples", "36", "--steps", "2"])
        gpu.main()
        assert said in capsys.readouterr().out
