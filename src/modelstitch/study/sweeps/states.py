"""Where work that was stopped left its state: each file is named by all that decides what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...engine.fit.options import MATCH, OF_LOOKS
from ...engine.sweep import Sweep
from ...support.hashing import cell_hash
from ...support.resume import Pieces, Unfinished
from ..plan import Cell
from .bench import Bench


def left(cell: Cell, bench: Bench) -> Unfinished | None:
    """Where the sweep of a cell leaves its state; which of its cells that is of, the state itself says."""
    if bench.unfinished is None:
        return None
    shared: dict[str, Any] = {key: cell.config[key] for key in ("data", "normalisation", "seed")}
    shared["fit"] = {key: value for key, value in cell.config["fit"].items() if key not in OF_LOOKS}
    ends = {side: cell.config[side]["fingerprint"] for side in ("bottom", "top")}
    work = {**shared, **ends, "sweep": str(cell.sweep), "company": cell.company}
    return Unfinished(bench.unfinished / cell_hash(work), bench.device)


PIECES = ("sums", "test", "second")


def left_together(groups: Sequence[Sequence[Cell]], bench: Bench) -> Pieces | None:
    """Where a family leaves its sums, and what it has measured so far: named by its cells, in their order."""
    if bench.unfinished is None:
        return None
    work = {"family": [cell.hash for group in groups for cell in group]}
    return Pieces(bench.unfinished, f"family-{cell_hash(work)}", bench.device)


def sums_left(cells: Sequence[Cell], sweep: Sweep, bench: Bench) -> Unfinished | None:
    """Where the sums of solved cells are left while they grow; the file is named by all that decides what they are."""
    folder = bench.sums or bench.unfinished
    config = cells[0].config
    solved = all(cell.config["objective"] == MATCH for cell in cells) and config["normalisation"] == "frozen"
    if folder is None or not solved or cells[0].sweep.kind != "plain":
        return None
    fit = {key: config["fit"].get(key) for key in ("samples", "augment", "anchors_by", "positions", "sums")}
    seams = sorted({(cell.config["bottom"]["layer"], cell.config["top"]["layer"]) for cell in cells})
    ends = [[config[side]["fingerprint"], config[side].get("view", "")] for side in ("bottom", "top")]
    work = {
        "ends": ends,
        "seams": [list(seam) for seam in seams],
        "data": config["data"],
        "seed": config["seed"],
        "fit": fit,
        "batch size": sweep.spec.batch_size,
    }
    return Unfinished(folder / f"sums-{cell_hash(work)}", bench.device)
