"""What cells will take is counted as they are then run; nothing is fitted, and no folder made."""

from dataclasses import replace

import pytest
import torch

from commands import run as command
from modelstitch import Network, compare
from modelstitch.api import plan_compare
from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import StitchError, StudyError
from modelstitch.study import needs
from modelstitch.study.needs import Needs, forward_seconds, product_seconds, through_tail
from modelstitch.support.footprint import Footprint
from modelstitch.zoo.nets import build

OPTIONS = {"layers": ["block1", "block2"], "controls": ("self",), "steps": 4, "eval_every": 2, "device": "cpu"}


@pytest.mark.slow
def test_what_is_counted_is_what_is_run_and_then_kept(pair, digits, tmp_path):
    before = plan_compare(*pair, digits, out=tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()
    records = compare(*pair, digits, out=tmp_path / "run", **OPTIONS).records
    assert (before.cells, before.kept, before.steps) == (len(records), 0, 4 * len(records))
    assert before.sweeps == 4  # each way the pair and the self control
    assert before.seconds > 0
    (damaged, *_) = (tmp_path / "run" / "cells").iterdir()
    damaged.write_text("{}")
    after = plan_compare(*pair, digits, out=tmp_path / "run", **OPTIONS)
    assert (after.kept, after.steps, after.sweeps) == (len(records) - 1, 4, 1)
    assert damaged.read_text() == "{}"  # looked at, not set aside


def test_memory_cuts_sweeps_into_parts(pair, digits):
    whole, cut = (plan_compare(*pair, digits, **OPTIONS, memory=memory) for memory in (None, 1e-6))
    assert (whole.parts, cut.parts) == (whole.sweeps, cut.cells)
    assert cut.memory < whole.memory
    assert cut.samples["fit"] > whole.samples["fit"]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["task", "match"])
def test_memory_is_told_as_it_is_taken(digits, objective):
    example = next(digits.batches("val", 2)).inputs
    pair = [Network(build("resnet20?width=8&in_channels=1", seed=seed), example, "bt"[seed]) for seed in (0, 1)]
    asked = {"layers": ["block2", "block5"], "controls": (), "both": False, "objective": objective, "device": "cpu"}
    asked |= {"steps": 2, "eval_every": 2, "batch_size": 64, "augment": False}
    needs = plan_compare(*pair, digits, **asked)
    with Footprint() as held:
        compare(*pair, digits, **asked)
    assert needs.way > 0
    assert 0.9 < held.most / (needs.memory + needs.way) < 1.1


def test_a_way_is_looked_at_once_for_networks_of_one_blueprint(pair, digits, monkeypatch):
    asked, way_bytes = [], needs.way_bytes
    monkeypatch.setattr(needs, "way_bytes", lambda *of, **more: asked.append(of) or way_bytes(*of, **more))
    monkeypatch.setattr(needs, "_ways", {})
    monkeypatch.setattr(needs, "WAYS", 2)
    options = {**OPTIONS, "controls": ("self", "random")}
    found = plan_compare(*pair, digits, **options)
    assert found.way > 0
    assert len(asked) == 1  # both ways, and their controls
    assert plan_compare(*pair, digits, **options).way == found.way
    assert len(asked) == 1  # by another question, too
    assert plan_compare(*pair, digits, **options, batch_size=32).way < found.way
    assert plan_compare(*pair, digits, **options, batch_size=16).way < found.way
    assert len(asked) == 3
    assert plan_compare(*pair, digits, **options).way == found.way
    assert (len(asked), len(needs._ways)) == (4, 2)  # the oldest is forgotten


def test_memory_of_a_way_is_not_told_where_nothing_is_timed(pair, digits):
    assert plan_compare(*pair, digits, **OPTIONS, timed=False).way == 0


def test_a_closed_form_takes_one_pass_and_no_step(pair, digits):
    found = plan_compare(*pair, digits, layers=["block2"], controls=(), both=False, objective="match", device="cpu")
    assert (found.cells, found.steps, found.samples["val"]) == (1, 0, 0)
    assert found.samples["fit"] >= digits.size("fit")


def test_further_starts_are_told_apart_from_what_is_likely(pair, digits):
    """A control takes them only where its first start leaves open what it is for."""
    options = {**OPTIONS, "layers": ["block2"], "both": False, "controls": ("class-noise",)}
    one, three = (plan_compare(*pair, digits, **options, starts=starts, timed=False) for starts in (1, 3))
    assert (one.steps, one.later_steps) == (2 * 4, 0)  # of the pair, and of the control
    assert (three.steps, three.later_steps) == (2 * 4, 2 * 4)
    assert three.samples == one.samples
    assert set(three.plain()) == set(one.plain()) >= {"steps", "later_steps", "seconds", "later_seconds"}


def test_what_a_run_would_refuse_is_refused(pair, digits, tmp_path):
    with pytest.raises(StitchError, match="'blokc1'"):
        plan_compare(*pair, digits, layers=["blokc1"])
    compare(*pair, digits, layers=["block2"], controls=(), objective="match", out=tmp_path, device="cpu")
    with pytest.raises(StudyError, match="was made by another study"):
        plan_compare(*pair, digits, layers=["block1"], controls=(), objective="match", out=tmp_path)


def test_in_words():
    found = Needs(10, 4, 2, 3, {"fit": 5000, "val": 100, "test": 30}, 640, 2 * 10**9, 3 * 10**8, 10**6, 300.0)
    assert found.sentences() == [
        "10 cells: 4 kept already, 6 to run. Nothing was fitted or written.",
        "2 sweeps, in 3 parts as memory asks: 640 steps at most; samples that are read: 5,000 of fit, 100 of val, "
        "30 of test.",
        "Memory: up to 2.0 GB for the stitches of one part, beside 1.0 MB of donors' weights and 300.0 MB of one "
        "batch's way through a top.",
        "Time: about 5 minutes here, estimated from measured batches: opening networks and solving maps is not "
        "counted, and fits that stop early take less.",
    ]
    assert "; memory up to 2.3 GB, beside donors and data; about 5 minutes here." in found.line()
    again = replace(found, later_steps=1280, later_seconds=900.0)
    assert "640 steps at most, and up to 1,280 where a control starts again; samples" in again.sentences()[1]
    assert again.sentences()[3].startswith("Time: about 5 minutes, up to 20 minutes here, estimated")
    assert again.line().endswith("about 5 minutes, up to 20 minutes here.")
    assert Needs(1, 1).sentences() == ["1 cell: 1 kept already, 0 to run. Nothing was fitted or written."]


STUDY = """
name = "tiny"
data = "digits"
layers = ["block2"]
objectives = ["match"]
controls = []
donors = {a = "zoo:small-resnet?width=4", b = {model = "zoo:small-resnet?width=4", weights = "random", seed = 1}}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("compare", "zoo:small-resnet?width=4", "zoo:small-resnet?width=8", "--layers", "block2"),
            "to run. Nothing was fitted",
        ),
        (("run", "study.toml"), "2 cells: 0 kept already, 2 to run."),
        (("matrix", "zoo:small-resnet?width=4", "zoo:small-resnet?width=8"), "Nothing was fitted or written."),
    ],
)
def test_the_commands_say_it_and_make_no_folder(tmp_path, monkeypatch, capfd, args, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    code, out, err = command(monkeypatch, capfd, *args, "--dry-run", "--device", "cpu", "--out", "runs/x")
    assert (code, said in " ".join(out.split())) == (0, True), out + err
    assert [p.name for p in tmp_path.iterdir()] == ["study.toml"]


def test_forwards_through_a_tail_are_counted():
    # 10 steps of 8 there and back, validation before the first step and after each five, the test once
    assert through_tail(10, 8, 5, val=100, test=30) == 2 * 10 * 8 + 3 * 100 + 30
    assert through_tail(0, 8, 5, val=100, test=30) == 130


def test_times_are_measured(pair, digits):
    network, cpu = pair[0], torch.device("cpu")
    found = forward_seconds(network, digits, FitSpec(batch_size=64), cpu)
    assert 0 < found < 1
    few = forward_seconds(network, digits.subset(20), FitSpec(batch_size=64), cpu)  # less than a batch
    assert 0 < few < 1
    assert 0 < product_seconds(network.layer("block1"), network.layer("block2"), cpu) < 1


def test_products_count_every_position(pair):
    layer = pair[0].layer("block1")
    pooled = pair[0].layer("head")
    cpu = torch.device("cpu")
    wide = min(product_seconds(layer, layer, cpu) for _ in range(3))
    narrow = min(product_seconds(layer, pooled, cpu) for _ in range(3))
    assert wide > narrow  # 64 positions against none
