"""What a question names: networks, data and functions by names, fingerprints and hashes.

And what a folder is named by.
"""

import pytest

from modelstitch.errors import StitchError
from modelstitch.study.keywords import StitchOptions
from modelstitch.study.prepared import compared, prepared


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
