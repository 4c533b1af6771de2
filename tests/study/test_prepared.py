"""What a question names: networks, data and functions by names, fingerprints and hashes.

And what a folder is named by.
"""

import copy
from types import SimpleNamespace

import pytest
import torch

from modelstitch import Network
from modelstitch.errors import ShapeError, StitchError
from modelstitch.study.keywords import StitchOptions
from modelstitch.study.plan import Cell, plan
from modelstitch.study.prepared import compared, data_config, describe_donor, prepared, with_members
from modelstitch.study.question import Question
from modelstitch.views import Normalise


def near(stitched, genuine, labels):
    return (stitched["output"] - genuine["output"]).square().mean()


def test_functions_go_by_their_hashes(pair, digits):
    found = compared(*pair, digits, {"objective": ["task", near, ("distill", near)]})
    (name,) = found.losses
    assert name.startswith("own:near:")
    assert found.question.objectives == ("task", name, f"distill+{name}")


def test_a_tuple_of_objectives_of_one_stitch_is_its_stages(pair, digits):
    found = prepared(StitchOptions, list(pair), digits, {"objective": ("distill", "task"), "seed": 3}, seam=["block1"])
    assert (found.question.objectives, found.question.seeds, found.question.layers) == (
        ("distill+task",),
        (3,),
        ("block1",),
    )
    assert found.question.ordered_pairs() == (("zero", "one"),)


def test_networks_of_other_seeds_are_no_pairs(pair, digits):
    found = compared(*pair, digits, {"other_seeds": {"one": pair[0].named("third")}, "both": False})
    assert [network.name for network in found.networks] == ["zero", "one", "third"]
    assert found.question.ordered_pairs() == (("zero", "one"),)
    assert "other-seed" in found.question.controls
    assert found.plain()["other seeds"] == {"one": "third"}


def test_a_network_beside_itself_is_one(pair, digits):
    found = compared(pair[0], pair[0], digits, {})
    assert (found.networks, found.question.ordered_pairs()) == ([pair[0]], (("zero", "zero"),))


def test_a_folder_is_named_by_what_decides_the_numbers(pair, digits):
    plain = compared(*pair, digits, {"layers": "block1"}).plain()
    assert set(plain) == {
        "donors",
        "pairs",
        "data",
        "layers",
        "families",
        "objectives",
        "controls",
        "seeds",
        "normalisation",
        "starts",
        "fit",
    }
    assert plain["pairs"] == [["zero", "one"], ["one", "zero"]]
    assert compared(*pair, digits, {"layers": "block1", "expected_error": 50.0}).plain() == plain
    assert compared(*pair, digits, {"layers": ["block1"], "both": True, "samples": None}).plain() == plain
    assert compared(*pair, digits, {"layers": "block1", "samples": [9, 99]}).plain()["samples"] == [9, 99]
    assert compared(list(pair), None, digits, {"layers": "block1"}).plain() == plain


@pytest.mark.parametrize("several", [[], "networks"])
def test_several_networks_are_one_list(several, pair, digits):
    with pytest.raises(
        StitchError, match=r"in one list, and the data by name: expected compare\(\[a, b, c\], data=data\)\."
    ):
        compared(several, *pair[:1], digits, {})


QUESTION = Question(layers="block1", controls=())


@pytest.mark.slow
def test_another_view_of_the_same_weights_is_another_cell(modules, digits):
    def cells(view):
        donors = [
            describe_donor(Network(m, torch.zeros(2, 1, 8, 8), n, view=v))
            for m, n, v in zip(modules, "ab", (view, None))
        ]
        return {c.hash for c in plan([tuple(donors)], QUESTION, data_config(digits))}

    plain, small, large = (
        cells(None),
        cells(Normalise(0.0, 1.0)),
        cells(Normalise(0.5, 1.0)),
    )
    assert cells(None) == plain
    assert cells(Normalise(0.0, 1.0)) == small
    assert not plain & small
    assert not small & large


@pytest.mark.slow
def test_another_output_or_number_of_classes_is_another_cell(modules, digits):
    class Two(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, x):
            found = self.module(x)
            return {"plain": found, "turned": found.flip(1)}

    def cells(output, data=digits):
        donors = [
            describe_donor(Network(Two(m), torch.zeros(2, 1, 8, 8), n, output=output)) for m, n in zip(modules, "ab")
        ]
        asked = Question(layers="module.block1", controls=())
        return {c.hash for c in plan([tuple(donors)], asked, data_config(data))}

    more = copy.copy(digits)
    more.__dict__["n_classes"] = 12
    assert len({*cells("plain"), *cells("turned"), *cells("plain", more)}) == 3
    assert cells(None) == cells("plain")


WIDTHS = {"one": 4, "two": 6}
NETWORKS = {
    name: SimpleNamespace(name=name, layer=lambda at: SimpleNamespace(channels=WIDTHS[at], kind="map")) for name in "ab"
}


def cell(b, t, family, control="pair"):
    end = {"name": "a", "layer": b}, {"name": "b", "layer": t}
    fit = {"samples": None}
    config = {
        "bottom": end[0],
        "top": end[1],
        "family": family,
        "control": control,
        "seed": 0,
        "normalisation": "frozen",
        "fit": fit,
        "data": {},
        "objective": "match",
    }
    return Cell(f"{b} {t} {family}", config)


def test_a_seam_without_a_member_is_left_out_and_said():
    cells = [cell(b, t, family) for b in WIDTHS for t in WIDTHS for family in ("affine", "permutation")]
    found, notes = with_members(cells, NETWORKS)
    assert {c.hash for c in cells} - {c.hash for c in found} == {"one two permutation", "two one permutation"}
    (note,) = notes
    assert note.startswith(
        "permutation is left out for 2 of 4 pairs, the first a@one -> b@two: The family 'permutation'"
    )
    assert with_members(found, NETWORKS) == (found, [])


def test_a_family_without_any_member_alone_is_refused():
    cells = [cell("one", "two", "low-rank:9"), cell("one", "one", "affine", "self")]
    with pytest.raises(ShapeError, match="low-rank:9 joins no pair of the layers, the first is a@one -> b@two"):
        with_members(cells, NETWORKS)
