"""Cells of families that have no member for a seam are left out, and said."""

from types import SimpleNamespace

import pytest

from modelstitch.errors import ShapeError
from modelstitch.study.members import with_members
from modelstitch.study.plan import Cell

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
    cells = [cell(b, t, family) for b in WIDTHS for t in WIDTHS for family in ("affine", "orthogonal")]
    found, notes = with_members(cells, NETWORKS)
    assert {c.hash for c in cells} - {c.hash for c in found} == {"one two orthogonal", "two one orthogonal"}
    (note,) = notes
    assert note.startswith("orthogonal is left out for 2 of 4 pairs, the first a@one -> b@two: The family 'orthogonal'")
    assert with_members(found, NETWORKS) == (found, [])


def test_a_family_without_any_member_alone_is_refused():
    cells = [cell("one", "two", "low-rank:9"), cell("one", "one", "affine", "self")]
    with pytest.raises(ShapeError, match="low-rank:9 joins no pair of the layers, the first is a@one -> b@two"):
        with_members(cells, NETWORKS)
