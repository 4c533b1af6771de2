"""Donors and data of another process: other files are found out."""

from types import SimpleNamespace

import pytest

from modelstitch.errors import StudyError
from modelstitch.study.engines.same import check_same, work_of
from modelstitch.study.plan import Cell


def cell(**changed):
    end = {"name": "a", "fingerprint": "0", "layer": "block2"}
    config = {
        "bottom": end,
        "top": {**end, "name": "b"},
        "seed": 0,
        "normalisation": "frozen",
        "control": "pair",
        "objective": "match",
        "fit": {"samples": None},
        "data": {"name": "digits", "fingerprint": "0"},
    }
    return Cell("0" * 16, {**config, **changed})


DATA = {"name": "digits", "fingerprint": "0", "second": {"name": "more", "fingerprint": "0"}}
OTHERS = {
    "data": ({"data": {**DATA, "fingerprint": "1"}}, "The data 'digits' on the node .* expected 1, found 0"),
    "second": (
        {"data": {**DATA, "second": {"name": "more", "fingerprint": "1"}}},
        "The second data 'more' on the node",
    ),
    "donor": (
        {"top": {"name": "b", "fingerprint": "1"}},
        "The donor 'b' on the node .* give every node the same files",
    ),
    "view": (
        {"top": {"name": "b", "fingerprint": "0", "view": "crop 1"}},
        "The view of the donor 'b' .* expected crop 1, found",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_on_a_node_are_found_out(name):
    network = SimpleNamespace(fingerprint=lambda: "0", view=None)
    data, second = (SimpleNamespace(name=n, fingerprint="0") for n in ("digits", "more"))
    bench = SimpleNamespace(data=data, second=second, networks={"a": network, "b": network})
    check_same([cell(data=DATA)], bench)
    changed, words = OTHERS[name]
    with pytest.raises(StudyError, match=words):
        check_same([cell(**{"data": DATA, **changed})], bench)


def test_only_random_bottoms_are_work_that_donors_may_share():
    network = SimpleNamespace(fingerprint=lambda: "drawn")
    bench = SimpleNamespace(below=lambda cell: network)
    one, other = (cell(control="random", bottom={"name": n, "fingerprint": n, "layer": "block2"}) for n in "ab")
    assert work_of([one], bench) == work_of([other], bench) != ""
    assert work_of([cell()], bench) == ""
    assert work_of([cell(control="random", seed=1)], bench) != work_of([one], bench)
