"""Plans: which cells a question needs, each once, and hashes that follow from what is done."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelstitch.engine.fit.options import FitSpec
from modelstitch.errors import StitchError, StudyError
from modelstitch.study.plan import Cell, Place, PlannedDonor, plan, seams, sweeps_of
from modelstitch.study.question import Question
from modelstitch.study.sweeps.bench import left

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
