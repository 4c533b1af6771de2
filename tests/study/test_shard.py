"""Shards share one folder, never harm each other, and give the records of one process."""

import json

import pytest

from modelstitch.errors import StudyError
from modelstitch.records.record import equal_results
from modelstitch.study.declared import plan_study, run_study
from modelstitch.study.shard import Shard
from modelstitch.study.spec import parse_spec
from modelstitch.study.status import status_of
from modelstitch.study.store import Store
from others import COMMAND, Other

NET = "zoo:small-resnet?width=4"
STUDY = {
    "name": "in shards",
    "data": "digits",
    "layers": ["block2", "block3"],
    "pairs": [["a", "b"]],
    "controls": ["self"],
    "limit": 100,
    "donors": {"a": NET, "b": {"model": NET, "weights": "random", "seed": 1}},
    "fit": {"steps": 2},
}
TOML = """
name = "in shards"
data = "digits"
layers = ["block2", "block3"]
pairs = [["a", "b"]]
controls = ["self"]
limit = 100
donors = {a = "zoo:small-resnet?width=4", b = {model = "zoo:small-resnet?width=4", weights = "random", seed = 1}}
fit = {steps = 2}
"""


@pytest.mark.parametrize("text", ["2/2", "-1/2", "1", "0/0", "a/b", "1/2/3", "0.5/2", "/", "", "٠/٢", "1" * 30 + "/2"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(StudyError) as caught:
        Shard.read(text)
    assert str(caught.value) == (
        f"The shard {text!r} is none: expected I/N with I from 0 to N - 1, such as 0/8 for the first of eight."
    )


@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_every_cell_has_one_shard(of):
    cells = [f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}" for n in range(200)]
    taken = [[cell for cell in cells if Shard.read(f"{i}/{of}").takes(cell)] for i in range(of)]
    assert sorted(cell for some in taken for cell in some) == sorted(cells)
    assert all(some for some in taken)


@pytest.mark.slow
def test_two_processes_at_once_give_the_records_of_one(tmp_path):
    (tmp_path / "study.toml").write_text(TOML)
    words = ("run", "study.toml", "--device", "cpu", "--out", "shards", "--shard")
    both = [Other(COMMAND, *words, f"{i}/2", folder=tmp_path, said=tmp_path / f"said {i}") for i in range(2)]
    whole, _ = run_study(parse_spec(STUDY), tmp_path / "whole", device="cpu")
    ended = [other.ended() for other in both]
    assert [one.code for one in ended] == [0, 0], ended
    assert "Shard 0/2: " in ended[0].said
    assert not (tmp_path / "shards" / "report.html").exists()
    found = {record.cell: record for record in Store(tmp_path / "shards").records()}
    assert set(found) == {record.cell for record in whole}
    assert all(equal_results(found[record.cell], record) for record in whole)
    assert status_of(tmp_path / "shards").missing == 0
    assert not (tmp_path / "shards" / "unfinished").exists()


@pytest.mark.slow
def test_one_shard_leaves_the_others_cells_and_plans_all(tmp_path):
    spec, shard = parse_spec({**STUDY, "layers": "all", "objectives": ["match"], "controls": "none"}), Shard(0, 2)
    planned = plan_study(spec, tmp_path / "out", device="cpu")
    mine = plan_study(spec, tmp_path / "out", device="cpu", shard=shard)
    records, _ = run_study(spec, tmp_path / "out", device="cpu", shard=shard)
    assert len(records) == mine.cells
    assert all(shard.takes(record.cell) for record in records)
    assert len(json.loads((tmp_path / "out" / "planned.json").read_text())["cells"]) == planned.cells
    assert status_of(tmp_path / "out").missing == planned.cells - mine.cells
    rest, _ = run_study(spec, tmp_path / "out", device="cpu", shard=Shard(1, 2))
    assert status_of(tmp_path / "out").missing == 0
    assert not {r.cell for r in rest} & {r.cell for r in records}


@pytest.mark.slow
def test_a_shard_without_cells_has_nothing_to_do(tmp_path):
    spec = parse_spec(
        {
            **STUDY,
            "layers": ["block2"],
            "objectives": ["match"],
            "controls": "none",
            "expected_error": {"b": 90.0},
            "error_tolerance": 100.0,
        }
    )
    records, _ = run_study(spec, tmp_path, device="cpu", shard=Shard(1_000_002, 1_000_003))
    assert (records, status_of(tmp_path).missing) == ([], 1)
