"""A cell with a plain configuration, for what groups and compares cells without fitting them."""

from __future__ import annotations

from modelstitch.study.plan import Cell


def cell(**changed):
    """The cell block2 of a on block2 of b, with the given entries of its configuration in place of its own."""
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
