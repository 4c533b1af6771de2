"""Donors and data of another process: other files are found out."""

from types import SimpleNamespace

import pytest

from cells import cell
from modelstitch.errors import StudyError
from modelstitch.study.declared import run_study
from modelstitch.study.engines.local import check_same, work_of
from modelstitch.study.spec import parse_spec
from modelstitch.study.sweeps import fitted as fits

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


STUDY = {
    "name": "three equal nets",
    "data": "digits",
    "layers": ["block2"],
    "objectives": ["match"],
    "controls": ["random"],
    "limit": 200,
    "pairs": [["a", "c"], ["b", "c"]],
    "donors": {name: {"model": "zoo:small-resnet?width=4&blocks=2", "weights": "random"} for name in "abc"},
}


def test_a_random_network_that_two_donors_share_is_fitted_once(tmp_path, monkeypatch):
    fitted = []
    plain = fits.train

    def counted(streams, *rest, **more):
        fitted.extend(stream.key for stream in streams)
        return plain(streams, *rest, **more)

    monkeypatch.setattr(fits, "train", counted)
    records, _ = run_study(parse_spec(STUDY), tmp_path, device="cpu")
    random = [r for r in records if r.control == "random"]
    assert len(random) == 2
    assert sum(r.cell in fitted for r in random) == 1
    (other,) = [r for r in random if r.cell not in fitted]
    (one,) = [r for r in random if r.cell in fitted]
    assert f"the same random network as in cell {one.cell}: fitted once" in other.notes
    assert other.metrics == one.metrics
    assert {one.bottom.name, other.bottom.name} == {"a", "b"}
    assert {path.stem for path in (tmp_path / "cells").iterdir()} == {r.cell for r in records}
