"""Plans: which cells a question needs, each once, and hashes that follow from what is done."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import StitchError, StudyError
from modelstitch.records.record import equal_results
from modelstitch.study.declared import plan_study, run_study
from modelstitch.study.plan import Cell, Place, PlannedDonor, Shard, plan, seams, sweeps_of
from modelstitch.study.question import Question
from modelstitch.study.spec import parse_spec
from modelstitch.study.status import status_of
from modelstitch.study.store import Store
from modelstitch.study.sweeps.bench import left
from others import COMMAND, Other

DATA = {"name": "digits", "fingerprint": "ff", "fit": 1000, "val": 100}


def donor(name, blocks, fingerprint=None, shapes=None):
    places = tuple(
        Place(layer, (i + 1) / (len(blocks) + 1), i, ("map", (shapes or {}).get(layer, (8, 4, 4))))
        for i, layer in enumerate(blocks)
    )
    return PlannedDonor(name, fingerprint or f"hash-{name}", places, places)


def asked(**changes):
    return Question(**{"controls": ("self", "random", "identity", "class-noise", "shuffled"), **changes})


A, B, C = donor("a", ["1", "2", "3"]), donor("b", ["1", "2", "3"]), donor("c", ["x", "y"])


def by_control(cells):
    found = {}
    for cell in cells:
        found.setdefault(cell.config["control"], []).append(cell)
    return found


def test_a_pair_with_all_controls():
    found = by_control(plan([(A, B)], asked(), DATA))
    assert {control: len(cells) for control, cells in found.items()} == {
        "pair": 3,
        "self": 3,
        "random": 3,
        "identity": 3,
        "class-noise": 3,
        "shuffled": 3,
    }
    assert {cell.config["bottom"]["name"] for cell in found["self"]} == {"b"}
    assert {cell.config["bottom"]["name"] for cell in found["class-noise"]} == {"class-noise"}
    assert {cell.config["bottom"]["name"] for cell in found["random"]} == {"a"}
    assert {cell.config["family"] for cell in found["identity"]} == {"identity"}


def test_controls_that_two_pairs_share_are_planned_once():
    both = plan([(A, C), (B, C)], asked(controls=("self",)), DATA)
    assert len(by_control(both)["self"]) == len(C.blocks)


def test_seeds_families_and_objectives_multiply_but_identity_is_one():
    cells = by_control(
        plan([(A, B)], asked(seeds=(0, 1), families=("affine", "mlp"), objectives=("match", "task")), DATA)
    )
    assert len(cells["pair"]) == 3 * 2 * 2 * 2
    assert len(cells["identity"]) == 3


def test_several_starts_name_the_fitted_cells_of_class_noise_alone():
    objectives = ("match", "task")
    once = plan([(A, B)], asked(objectives=objectives, starts=1), DATA)
    more = plan([(A, B)], asked(objectives=objectives), DATA)
    apart = [cell for cell in more if cell.hash not in {c.hash for c in once}]
    assert {(cell.config["control"], cell.config["objective"]) for cell in apart} == {("class-noise", "task")}
    assert [cell.starts for cell in apart] == [3, 3, 3]
    assert {cell.starts for cell in once} == {1}


def test_identity_needs_equal_shapes():
    other = donor("b", ["1", "2", "3"], shapes={"2": (16, 4, 4)})
    cells = by_control(plan([(A, other)], asked(), DATA))
    assert [cell.config["top"]["layer"] for cell in cells["identity"]] == ["1", "3"]


def test_an_alias_names_the_same_cells_as_the_listed_name():
    net = dataclasses.replace(donor("d", ["trunk", "head"]), aliases=(("trunk.blocks.2", "trunk"),))
    for written in (("trunk.blocks.2",), ("trunk -> trunk.blocks.2",), ("trunk", "trunk.blocks.2")):
        cells = [cell.hash for cell in plan([(net, net)], asked(layers=written), DATA)]
        assert cells == [cell.hash for cell in plan([(net, net)], asked(layers=("trunk",)), DATA)]
    with pytest.raises(StudyError, match=r"no exact cut 'trunk.block.2': did you mean 'trunk.blocks.2'"):
        net.place("trunk.block.2")


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        (["b*"], ["b1 b1", "b2 b2"]),
        (["b* -> c?"], ["b1 c1", "b1 c2", "b2 c1", "b2 c2"]),
        (["stem -> c1", "* -> c1"], ["stem c1", "b1 c1", "b2 c1"]),
        (["b*", "b1"], ["b1 b1", "b2 b2"]),
    ],
)
def test_patterns_stand_for_block_cuts(layers, found):
    below, above = donor("below", ["stem", "b1", "b2"]), donor("above", ["c1", "c2", "b1", "b2"])
    assert [f"{b.layer} {t.layer}" for b, t in seams(below, above, layers)] == found


def test_patterns_that_join_nothing_are_refused():
    below, above = donor("below", ["b1"]), donor("above", ["b2"])
    with pytest.raises(StudyError, match=r"'b\*' are of no name that 'below' and 'above' have in common"):
        seams(below, above, ["b*"])
    with pytest.raises(StitchError, match=r"No block cut of the network 'above' fits 'c\*'"):
        seams(below, above, ["b* -> c*"])


@pytest.mark.parametrize(
    ("normalisation", "groups"),
    [
        ("frozen", [["match", "task", "match", "task"]]),
        ("recalibrated", [["match", "task", "match", "task"]]),
        ("batch", [["match", "match"], ["task", "task"]]),
    ],
)
def test_objectives_share_a_bottom_whose_statistics_do_not_move(normalisation, groups):
    shared = {"bottom": {"name": "a"}, "top": {"name": "b"}, "control": "pair", "seed": 0, "data": {}}
    configs = [
        {**shared, "fit": {"samples": None}, "normalisation": normalisation, "objective": o, "family": f}
        for f in ("affine", "low-rank:2")
        for o in ("match", "task")
    ]
    cells = [Cell(str(i), config) for i, config in enumerate(configs)]
    assert [[cell.config["objective"] for cell in group] for group in sweeps_of(cells)] == groups


def test_cells_of_one_sweep_stand_together():
    cells = plan([(A, B), (B, A)], asked(seeds=(0, 1)), DATA)
    keys = [cell.sweep for cell in cells]
    assert len(dict.fromkeys(keys)) == sum(1 for i, key in enumerate(keys) if i == 0 or keys[i - 1] != key)


def test_the_same_sweep_of_two_plans_is_told_apart():
    """Else the unfinished state of one figure's curve was cleared by another that was finished."""
    bench = SimpleNamespace(unfinished=Path("unfinished"), device="cpu")
    whole, again, part = (
        {cell.sweep: left(cell, bench).path for cell in plan([(A, B)], asked(layers=layers), DATA)}
        for layers in ("matching", "matching", ("1 -> 1",))
    )
    assert whole == again
    assert whole.keys() == part.keys()
    assert not set(whole.values()) & set(part.values())


@pytest.mark.parametrize(("normalisation", "states"), [("frozen", 1), ("recalibrated", 1), ("batch", 2)])
def test_no_two_processes_of_a_plan_share_a_state(normalisation, states):
    """Each takes cells that are fitted together: what one writes, another must not take up or clear."""
    bench = SimpleNamespace(unfinished=Path("unfinished"), device="cpu")
    question = asked(objectives=("match", "task"), families=("affine", "low-rank:2"), normalisation=normalisation)
    sweeps = {}
    for cell in plan([(A, B), (B, A)], question, DATA):
        sweeps.setdefault(cell.sweep, []).append(cell)
    parts = sweeps_of(cell for cells in sweeps.values() for cell in cells)
    names = [{left(cell, bench).path for cell in part} for part in parts]
    assert all(len(found) == 1 for found in names)
    assert len(set().union(*names)) == len(parts)
    plain = next(cells for cells in sweeps.values() if cells[0].config["control"] == "pair")
    assert len({left(cell, bench).path for cell in plain}) == states


@pytest.mark.parametrize(
    "change",
    [
        {"fit": FitSpec(steps=3)},
        {"seeds": (7,)},
        {"normalisation": "batch"},
        {"families": ("mlp",)},
    ],
)
def test_what_changes_the_work_changes_the_hash(change):
    before = {cell.hash for cell in plan([(A, B)], asked(controls=()), DATA)}
    after = {cell.hash for cell in plan([(A, B)], asked(controls=(), **change), DATA)}
    assert not before & after


def test_other_weights_or_data_are_other_cells():
    before = {cell.hash for cell in plan([(A, B)], asked(), DATA)}
    retrained = donor("a", ["1", "2", "3"], fingerprint="other")
    assert not {c.hash for c in plan([(retrained, B)], asked(controls=()), DATA)} & before
    assert not {c.hash for c in plan([(A, B)], asked(), {**DATA, "fingerprint": "00"})} & before


def test_matching_by_name_by_depth_and_as_written():
    assert [(b.layer, t.layer) for b, t in seams(A, B, "matching")] == [("1", "1"), ("2", "2"), ("3", "3")]
    assert [(b.layer, t.layer) for b, t in seams(A, C, "matching")] == [("1", "x"), ("3", "y")]
    assert len(seams(A, C, "all")) == 6
    assert [(b.layer, t.layer) for b, t in seams(A, C, ("2 -> x",))] == [("2", "x")]


def test_a_pool_is_matched_with_a_pool():
    """Nothing weighted lies between the last block and the pool, so that depth cannot tell them apart."""

    def pooled(name, depths):
        places = [Place(f"block{i}", depth, i, ("map", (8, 4, 4))) for i, depth in enumerate(depths)]
        pool = Place("pool", depths[-1], len(depths), ("vector", (8,)))
        return PlannedDonor(name, f"hash-{name}", (*places, pool), (*places, pool))

    bottom, top = pooled("a", [0.3, 0.6, 0.9]), pooled("b", [0.5, 0.9])
    assert [(b.layer, t.layer) for b, t in seams(bottom, top, "matching")] == [
        ("block1", "block0"),
        ("block2", "block1"),
        ("pool", "pool"),
    ]
    assert [b.layer for b, _ in seams(donor("maps", ["1", "2", "3"]), top, "matching")] == ["2", "3", "3"]


def test_a_donor_without_cuts_and_an_unknown_cut_are_refused():
    with pytest.raises(StudyError, match="'empty' has no exact block cut"):
        seams(donor("empty", []), A, "matching")
    with pytest.raises(StudyError, match=r"no exact cut '9': see `modelstitch layers` \(it has '1', '2', '3'\)\."):
        seams(A, B, ("9",))
    with pytest.raises(StudyError, match=r"'a' has no exact cut '33': did you mean '3'\?"):
        seams(A, B, ("33",))


def test_asked_for_more_samples_than_there_are_the_curve_ends_at_all_of_them():
    """Otherwise one fit would count as several."""
    cells = plan([(A, B)], asked(controls=(), samples=(100, 2000, 50_000)), DATA)
    assert sorted({cell.config["fit"]["samples"] for cell in cells}) == [100, 1000]
    few = dataclasses.replace(B, budget=50)
    assert {c.config["fit"]["samples"] for c in plan([(A, few)], asked(controls=(), samples=(100, 2000)), DATA)} == {50}


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
