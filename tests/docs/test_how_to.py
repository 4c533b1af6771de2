"""docs/how-to: the code of each page runs, and what it adds works at every door."""

import re
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import modelstitch as ms
from modelstitch.data.load import READERS
from modelstitch.engine.controls import CONTROLS
from modelstitch.measures import MEASURES
from modelstitch.stitchers import FAMILIES
from pages import run_commands, run_python, text

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
TABLES = {"control": CONTROLS, "family": FAMILIES, "measure": MEASURES, "reader": READERS}


@pytest.fixture
def run(pair, digits, tmp_path, monkeypatch):
    """What a page's code makes, run in a folder of its own: one row in one table, which are afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    before = {name: dict(table) for name, table in TABLES.items()}

    def made(page):
        names = {"bottom": pair[0], "top": pair[1], "data": digits}
        for block in re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), flags=re.DOTALL):
            exec(compile(block, page, "exec"), names)
        grown = {name: len(set(table) - set(before[name])) for name, table in TABLES.items()}
        assert grown == {name: int(f"{name}.md" == page) for name in TABLES}
        return names

    yield made
    for name, table in TABLES.items():
        table.clear()
        table.update(before[name])


@pytest.mark.slow
def test_a_control(run, tmp_path):
    result = run("control.md")["r"]
    penalty = dict(result.frame.filter(metric="penalty").select("control", "value").iter_rows())
    assert penalty["reversed"] > penalty["pair"]
    heads = re.findall(r"<th[^>]*>([^<]*)<", (tmp_path / "reversed.html").read_text())
    assert "reversed" in [column.split(",")[0] for column in heads]


def test_a_family(run):
    penalty = dict(run("family.md")["grid"].frame.filter(metric="penalty").select("family", "value").iter_rows())
    assert set(penalty) == {"gains", "affine"}
    assert penalty["gains"] > penalty["affine"]


def test_a_measure(run):
    frame = run("measure.md")["m"].frame
    values = {
        (measure, top): value for measure, top, value in frame.select("measure", "top_layer", "value").iter_rows()
    }
    assert values["centred_distances", "block2"] > values["centred_distances", "block1"] > 0


def test_a_reader(run, tmp_path):
    data = run("reader.md")["points"]
    assert [data.size(split) for split in ("fit", "val", "test")] == [320, 80, 100]
    assert ms.load_data("npz:points.npz", seed=2).test_fingerprint == data.test_fingerprint
    assert ms.load_data("npz:points.npz", limit=50).size("fit") == 50
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(ms.StitchError, match=r"broken\.npz' cannot be read: expected a \.npz file with x and y"):
        ms.load_data("npz:broken.npz")
    with pytest.raises(ms.StitchError, match=r"expected one of digits, .*, npz:FILE"):
        ms.load_data("nope:points")


@pytest.mark.slow
def test_a_task(run, tmp_path):
    made = run("task.md")
    assert made["d"].metrics["top_error"] < 25
    assert made["d"].record.metric("penalty").unit == "points of objects"
    assert made["s"].record.objective.startswith("own:cautious")
    assert made["s"].record.metric("penalty").unit == "MSE"
    assert made["s"].metrics["top_label_r2"] > 0.25
    page = (tmp_path / "prognosis.html").read_text(encoding="utf-8")
    assert "points of patients" in page
    assert "Here the task is prognosis, and an error of one sample is 100 where it is off by more than 50" in page


def test_embeddings(run):
    made = run("embeddings.md")
    kept = made["found"].frame.filter(metric="recall@10", family="affine", pairs=500, way="old gallery mapped")
    value = dict(kept.select("control", "value").iter_rows())
    assert value["pair"] > 2 * value["shuffled"]
    assert made["w"].n_samples_seen_ == len(made["old"])
    assert made["gallery"].shape == made["new"].shape


@pytest.mark.slow
def test_a_family_of_networks(tmp_path, monkeypatch):
    """As the page has it, with two seeds of each kind and a few steps."""
    monkeypatch.chdir(tmp_path)
    text = (PAGES / "family-of-networks.md").read_text(encoding="utf-8")
    for long, short in (("STEPS = 300", "STEPS = 8"), ("range(4)", "range(2)"), ("samples=300", "samples=100")):
        assert long in text
        text = text.replace(long, short)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(block, "family-of-networks.md", "exec"), names)
    assert names["family"].values["r2_bottom_to_top"].shape[:2] == (4, 4)
    assert set(names["both"].measures) == {"penalty", "r2", *names["family"].measures}
    assert (tmp_path / "family.svg").stat().st_size > 10_000
    assert "Which measure tells the groups apart" in (tmp_path / "both.html").read_text()


@pytest.mark.slow
def test_large_models(run, tmp_path):
    made = run("large-models.md")
    assert made["bottom"].dtype == torch.bfloat16
    assert made["bottom"].weights.endswith("bfloat16")
    assert made["alike"].frame.height == 2 * 9
    assert made["stitches"].frame.filter(metric="penalty").height == 9
    assert len(list((tmp_path / "activations").iterdir())) == 2
    assert made["again"].seam == "llama-0@model.layers.1 -> llama-0@model.layers.1"
    (written,) = made["there"].generate("the cat sees", 5)
    assert written.startswith("the cat sees ")


@pytest.mark.slow
def test_the_hook_and_the_tables_of_others(run, monkeypatch):
    found = run("ecosystem.md")
    (curve,) = found["curves"].values()
    assert [step for step, _ in curve] == [0, 2, 4]
    assert found["frame"].shape[0] == found["rows"].num_rows > 0
    wandb, mlflow = trackers(found, monkeypatch)
    (name,) = found["curves"]
    assert [run.name for run in wandb.runs] == [name]  # one run a stitch
    assert [sorted(row)[-1] for row in wandb.runs[0].rows] == ["val/loss"] * 3 + ["top_error"]
    assert wandb.runs[0].rows[-1]["penalty"] == found["r"].frame.filter(metric="penalty")["value"][0]
    assert wandb.runs[0].finished
    assert mlflow.uri == "sqlite:///mlflow.db"
    assert {step for key, step in mlflow.logged if key.endswith("_val_error")} == {0, 2, 4}
    assert sum(key.endswith(("_penalty", "_penalty_low")) for key, _ in mlflow.logged) == 2


class Wandb(types.ModuleType):
    """What the page calls of wandb, no more."""

    def __init__(self):
        super().__init__("wandb")
        self.runs = []

    def init(self, *, project, name, reinit):
        assert (project, reinit) == ("stitching", "create_new")
        made = SimpleNamespace(name=name, rows=[], finished=False)
        made.log = made.rows.append
        made.finish = lambda: vars(made).update(finished=True)
        self.runs.append(made)
        return made


class Mlflow(types.ModuleType):
    """What the page calls of mlflow: a name has few characters, and is no folder of another one."""

    def __init__(self):
        super().__init__("mlflow")
        self.logged, self.inside, self.uri = [], False, ""

    def set_tracking_uri(self, uri):
        self.uri = uri

    @contextmanager
    def start_run(self):
        self.inside = True
        yield
        self.inside = False

    def log_metric(self, key, value, step):
        assert self.inside
        assert isinstance(value, float)
        assert re.fullmatch(r"[\w. :/-]{1,250}", key)
        assert not any(key.startswith(f"{other}/") or other.startswith(f"{key}/") for other, _ in self.logged)
        self.logged.append((key, step))


def trackers(found, monkeypatch):
    """The page's lines for both trackers, run as they stand, on a question of the page's size."""
    modules = {"wandb": Wandb(), "mlflow": Mlflow()}
    asked = {"layers": "block1", "steps": 4, "eval_every": 2, "controls": (), "both": False}
    shell = SimpleNamespace(compare=lambda a, b, **more: ms.compare(a, b, **more, **asked))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        (code,) = re.findall(
            rf"```text\n((?:import re\n)?import {name}\n.*?)```", text("docs/how-to/ecosystem.md"), re.S
        )
        names = {"ms": shell, "a": found["a"], "b": found["b"], "data": found["data"]}
        exec(compile(code, f"{name} of ecosystem.md", "exec"), names)
        if name == "wandb":
            shell.compare(found["a"], found["b"], data=found["data"], on_event=names["log"])
    return modules["wandb"], modules["mlflow"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "units", "folder"),
    [
        ("Classes", ["│ points"], None),
        ("Numbers", ["penalty in MSE", "│ MAE"], "reg"),
        ("Several labels at once", ["│ points of samples"], None),
        ("A class for each pixel", ["penalty in points of pixels"], "seg"),
        ("The next token, the hidden token", ["gpt0@transformer.h.0 -> gpt1", "bert0@bert.encoder.layer.0"], None),
        ("Embeddings, with labels and without", ["penalty in cosine distance", "│ points of recall@5"], "vectors"),
    ],
    ids=["classification", "regression", "multi-label", "dense", "tokens", "embedding and retrieval"],
)
def test_an_example_of_each_task_from_the_shell(section, units, folder, tmp_path, monkeypatch):
    part = text("docs/how-to/own-tasks.md").split(f"\n## {section}\n")[1].split("\n## ")[0]
    said = ""
    for language, code in re.findall(r"```(python|bash)\n(.*?)```", part, flags=re.S):
        if language == "python":
            said += run_python(code, tmp_path, monkeypatch)
        else:
            said += "\n".join(run_commands(code, tmp_path, monkeypatch))
    said = " ".join(said.split())
    for unit in units:
        assert unit in said, unit
    if folder:
        assert "an error of one sample is" in (tmp_path / "runs" / folder / "report.html").read_text()
