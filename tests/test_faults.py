"""A few mutated files for every reader, changes of every kept file, and kills, as the benchmark has many."""

import sys
from pathlib import Path

import pytest

from modelstitch.support import tables

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import faults

LONG = {"results to .json", "results to .html", "results to .svg"}  # written as .csv is


def small(monkeypatch, section, name, tmp_path):
    """The counts of a piece with few inputs, and how much of them must not be."""
    monkeypatch.setattr(tables, "_trial", tables._trial)  # a piece puts another in its place
    found = {piece.name: piece for piece in faults.SECTIONS[section].pieces()}
    held = faults.run(section, found[name], n=1, seconds=20, seed=7, state=tmp_path / "state", scratch=tmp_path)
    lines, bad = faults.table(section, {name: held})
    assert any(line.startswith(f"| {name} | {held['counts']['done']:,} |") for line in lines)
    return held, bad


@pytest.mark.slow
@pytest.mark.parametrize("section", ["readers", "kept", "disks"])
def test_nothing_is_foreign_slow_believed_or_harmed(section, monkeypatch, tmp_path, capsys):
    pieces = faults.SECTIONS[section].pieces()
    assert len(pieces) >= 11
    for piece in (piece for piece in pieces if piece.name not in LONG):
        held, bad = small(monkeypatch, section, piece.name, tmp_path)
        assert held["counts"]["done"] > 0
        assert not bad, capsys.readouterr().err


def test_a_piece_goes_on_where_its_state_ends(tmp_path):
    def step(draw):
        return {"done": 2, "noticed": 2, "max s": draw.random()}

    piece = faults.Piece("one", 6, lambda tmp: step)
    how = {"seconds": 20, "seed": 0, "state": tmp_path / "state", "scratch": tmp_path}
    whole = faults.run("kept", piece, n=None, **{**how, "state": None})
    assert whole["counts"]["done"] == 6
    assert faults.run("kept", piece, n=2, **how)["counts"]["done"] == 2
    again = faults.run("kept", piece, n=None, **how)
    assert again["counts"]["done"] == 6
    if "changes" not in again["commit"]:  # else each run begins anew
        assert again["counts"] == whole["counts"]
