"""Whose layers are held against whose."""

import pytest

from layerwise.small import third, world
from modelstitch.errors import MeasureError, NetworkError, StitchError
from modelstitch.layerwise.meeting import chosen_layers, meeting_of

A, B, DATA = world(8)
C = third()


def meet(pairs="all", layers=None, networks=(A, B, C)):
    return meeting_of(list(networks), None, DATA, layers, pairs)


def test_two_networks_are_bottom_and_top():
    meeting = meeting_of(A, B, DATA, (["0", "2"], ["0"]), "all")
    assert meeting.whole == (("a@0", "a@2"), ("b@0",))
    assert (meeting.pairs, meeting.both) == ((("a", "b"),), False)
    assert meeting.stated == [["0", "2"], ["0"]]
    assert meeting.in_words() == "a and b"


def test_a_network_beside_itself_keeps_its_two_lists():
    meeting = meeting_of(A, A, DATA, (["0", "2"], ["0"]), "all")
    assert meeting.whole == (("a@0", "a@2"), ("a@0",))
    assert meeting.seams(*meeting.whole, meeting.pairs) == [("a@0", "a@0"), ("a@2", "a@0")]
    assert meeting.in_words() == "a"


def test_a_list_is_one_set_and_every_two_meet_once():
    meeting = meet(layers=["0", "2"])
    left, right = meeting.whole
    assert left == right == ("a@0", "a@2", "b@0", "b@2", "c@0", "c@2")
    assert meeting.pairs == (("a", "b"), ("a", "c"), ("b", "c"))
    assert len(meeting.seams(left, right, meeting.pairs)) == 12
    assert meeting.without("b").pairs == (("a", "c"),)
    assert meeting.in_words() == "3 networks"


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        (["0"], {"a": ["0"], "b": ["0"], "c": ["0"]}),
        ((["0"], ["2"], ["0", "2"]), {"a": ["0"], "b": ["2"], "c": ["0", "2"]}),
        ({"b": ["2"]}, {"a": A.blocks, "b": ["2"], "c": C.blocks}),
    ],
)
def test_layers_of_a_list(layers, wanted):
    assert meet(layers=layers).stated == wanted


def test_pairs_that_are_named_are_those_and_no_others():
    meeting = meet([("a", "b"), ("a", "c")], ["0"])
    assert meeting.whole == (("a@0",), ("b@0", "c@0"))  # bottoms and tops are no one set
    assert not meeting.both
    assert set(meet([("a", "b")], ["0"]).networks) == {"a", "b"}


def test_seams_are_found_either_way_round():
    meeting = meet(layers=["0"])
    assert meeting.seams({"b@0"}, {"a@0"}, meeting.pairs) == [("a@0", "b@0")]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: meet(networks=(A, B, C.named("a"))), StitchError, "Two networks are called 'a': expected distinct"),
        (lambda: meet(networks=(A,)), StitchError, r"two at least, .* expected similarity\(\[a, b, c\], data=data\)"),
        (lambda: meeting_of([A, B], C, DATA, None, "all"), StitchError, "Several networks are given in one list"),
        (lambda: meet(networks=(A, B.module)), NetworkError, "The network must be a modelstitch Network"),
        (lambda: meeting_of([A, B], None, None, None, "all"), MeasureError, "The data must be modelstitch Data"),
        (lambda: meet("ring"), MeasureError, r"Pairs must be 'all' or \(bottom, top\) names, found 'ring'"),
        (lambda: meet([]), MeasureError, r"Pairs must be 'all' or .* found \[\]"),
        (lambda: meet([("a", "d")]), MeasureError, "names of 'a', 'b', 'c', found 'd'"),
        (lambda: meeting_of(A, B, DATA, None, [("a", "b")]), MeasureError, "Two networks are one pair"),
        (lambda: meet(layers={"d": ["0"]}), MeasureError, "layers= names no network 'd'"),
        (lambda: meet(layers=(["0"], ["0"])), MeasureError, "a list for each network"),
        (lambda: meet(layers="0"), MeasureError, "a list for each network"),
        (lambda: meeting_of(A, B, DATA, ["0"], "all"), MeasureError, "The layers must be two lists"),
        (lambda: meet(layers=[]), MeasureError, "No layer of 'a' was chosen"),
    ],
)
def test_what_cannot_be_asked(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_layers_go_by_the_names_that_are_listed():
    assert chosen_layers(A, ["0", "0"]) == ["0"]
    assert chosen_layers(A, None) == A.blocks
