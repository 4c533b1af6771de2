"""Which cells run together: closed forms of many networks, controls of one top, and as many of each as memory takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ...engine.fit.closed import takes_all
from ...engine.fit.memory import chunks, sample_bytes, solved_bytes, stream_bytes, tiles
from ...engine.fit.options import ANCHORS_BY, MATCH
from ...errors import StudyError
from ...network import Layer, Network
from ...stitchers import family_of
from ...support.ranks import current
from ...support.resume import Pieces
from ..plan import Cell, Shared
from .bench import PIECES, Bench, left_together

SweepCells = Sequence[Cell]  # the cells of one sweep


def check_shared(cells: Sequence[Cell]) -> None:
    """Where processes share the work, refuse cells that they cannot share, and cells that are not the same on all.

    Raises:
        StitchError: something but closed forms between donors whose statistics stay as they are; another process
            failed, or was asked something else.
    """
    ranks = current()
    if ranks is None:
        return
    for cell in cells:
        for key, wanted in (("objective", "match"), ("normalisation", "frozen")):
            if cell.config[key] != wanted:
                raise StudyError(
                    f"Processes share the sums of closed forms alone: expected {key}={wanted!r}, found "
                    f"{cell.config[key]!r}; ask for the others in one process, or run shards of a study."
                )
    ranks.agree([cell.hash for cell in cells])


class Reading(NamedTuple):
    """Sweeps whose test split is read at once.

    Attributes:
        groups: the cells of each that are to be run.
        pieces: where the state of the measurement is left; None where it is left nowhere.
        family: they are closed forms between three networks or more, whose sums are taken at once, too.
    """

    groups: Sequence[SweepCells]
    pieces: Pieces | None = None
    family: bool = False


def readings(groups: Sequence[SweepCells], bench: Bench) -> list[Reading]:
    """The sweeps in those that are read at once, families first, all others in their order.

    Each network of a family runs once over a batch, not once for each of its pairs. A family that was measured when it
    was stopped comes whole, recorded cells included: its state is of all of them.

    Fitted controls of one top are read together, as many as memory takes. What is asked about, a pair, is recorded as
    soon as it is fitted. A control that waits for the others leaves its fitted maps behind, and a stop loses no more
    than the sums of a start. What takes longer before or after its steps is measured by itself: closed forms over all
    fit samples, statistics that are taken anew, donors that are trained further.

    All run one by one where processes share the pass; closed forms, too, where their sums are to be kept in a file.
    States bear the name of all cells that were asked for, also of those that are recorded by now.
    """
    asked = bench.sweeps(groups) if current() is None else []
    families = [
        Reading(part, left_together(part, bench), family=True)
        for family in _families(asked, bench)
        if len(_ends(part := _of_family(family, groups, bench))) > 2
    ]
    together = _controls(asked, groups, bench)
    inside = {cell.hash for reading in (*families, *together) for group in reading.groups for cell in group}
    alone = [Reading([group]) for group in groups if group[0].hash not in inside]
    order = {cell.hash: at for at, group in enumerate(groups) for cell in group}
    return [*families, *sorted((*together, *alone), key=lambda reading: order[reading.groups[0][0].hash])]


def _controls(asked: Sequence[SweepCells], groups: Sequence[SweepCells], bench: Bench) -> list[Reading]:
    """Controls that wait for each other, as far as they are in these groups; the state of those that are not goes."""
    found = []
    for together in _waiting(asked, bench):
        part, pieces = _wanted(groups, together), left_together(together, bench)
        if part:
            found.append(Reading(part, pieces))
        elif pieces is not None:
            for name in PIECES:
                pieces.piece(name)
            pieces.clear()  # it was stopped between its last record and the end of its state
    return found


def _wanted(groups: Sequence[SweepCells], asked: Sequence[SweepCells]) -> list[SweepCells]:
    """What of ``asked`` stands in these groups, too."""
    wanted = {cell.hash for group in groups for cell in group}
    return [some for group in asked if (some := [cell for cell in group if cell.hash in wanted])]


def _families(groups: Sequence[SweepCells], bench: Bench) -> list[list[SweepCells]]:
    """Closed forms that differ in nothing but their networks and seams, whose sums see the same samples."""
    alike: dict[Shared, list[SweepCells]] = {}
    for group in groups if bench.sums is None else []:
        shared = group[0].sweep
        if _solved(group):
            chosen = shared.top if isinstance(shared.anchors, str) and shared.anchors != ANCHORS_BY[0] else ""
            alike.setdefault(shared._replace(bottom="", top=chosen), []).append(group)
    return [family for same in alike.values() for family in _blocks(same, bench)]


def _solved(group: SweepCells) -> bool:
    """Whether cells of one sweep are closed forms between donors whose statistics stay as they are."""
    shared = group[0].sweep
    return (
        shared.kind == "plain"
        and shared.normalisation == "frozen"
        and all(cell.config["objective"] == MATCH and "unfreeze" not in cell.config for cell in group)
    )


def _blocks(groups: Sequence[SweepCells], bench: Bench) -> list[list[SweepCells]]:
    """Sweeps in families that fit the memory budget: all, or those of any two of several blocks of their networks."""
    names = [name for name in bench.networks if name in _ends(groups)]
    for blocks in range(1, len(names)):
        size = -(-len(names) // blocks)
        block = {name: number // size for number, name in enumerate(names)}
        parts: dict[tuple[int, int], list[SweepCells]] = {}
        for group in groups:
            a, b = sorted((block[group[0].sweep.bottom], block[group[0].sweep.top]))
            at = (a, b) if a != b else (a, a + 1) if a + 1 < blocks else (max(0, a - 1), a)
            parts.setdefault(at, []).append(group)
        if all(family_bytes(part, bench) <= bench.memory for part in parts.values()):
            return list(parts.values())
    return [[group] for group in groups]


def _of_family(family: Sequence[SweepCells], groups: Sequence[SweepCells], bench: Bench) -> list[SweepCells]:
    """The cells of a family that are wanted, or all where its measurement was begun; if none is, its state goes."""
    part, pieces = _wanted(groups, family), left_together(family, bench)
    if pieces is None:
        return part
    begun = {name for name in PIECES if pieces.piece(name).path.exists()}
    if not part:
        pieces.clear()  # it was stopped between its last record and the end of its state
    return list(family) if part and "test" in begun else part


def _ends(groups: Sequence[SweepCells]) -> set[str]:
    """The names of the networks that sweeps are about."""
    return {name for group in groups for name in (group[0].sweep.bottom, group[0].sweep.top)}


def _waiting(groups: Sequence[SweepCells], bench: Bench) -> list[list[SweepCells]]:
    """Controls of one top, seed and samples that may wait for each other, in their order; never one alone."""
    found: dict[Shared, list[list[SweepCells]]] = {}
    held: dict[Shared, int] = {}
    for group in groups:
        size = _waiting_bytes(group, bench)
        if size is None or size > bench.memory:
            continue
        key = group[0].sweep._replace(kind="", bottom="")
        if key not in found or held[key] + size > bench.memory:
            found.setdefault(key, []).append([])
            held[key] = 0
        found[key][-1].append(group)
        held[key] += size
    return [some for parts in found.values() for some in parts if len(some) > 1]


def _waiting_bytes(cells: SweepCells, bench: Bench) -> int | None:
    """What the cells of a sweep hold while they wait to be measured; None where they are not to wait."""
    shared = cells[0].sweep
    if shared.normalisation != "frozen":
        return None
    for cell in cells:
        if (
            cell.config["control"] == "pair"
            or "unfreeze" in cell.config
            or takes_all(cell.config["objective"], family_of(cell.config["family"])[0])
        ):
            return None
    drawn = 0
    if shared.control is not None and shared.control.draw is not None:
        drawn = sum(p.numel() * p.element_size() for p in ends_of(cells, bench)[0].module.parameters())
    return drawn + sum(cell_bytes(cells, bench))


def ends_of(cells: SweepCells, bench: Bench) -> tuple[Network, Network]:
    """The networks whose layers a sweep is about; class noise stands at those of the top."""
    top = bench.networks[cells[0].sweep.top]
    return bench.networks.get(cells[0].sweep.bottom, top), top


def _layers(cells: SweepCells, bench: Bench) -> list[tuple[Layer, Layer]]:
    """The layers of each cell's seam."""
    below, above = ends_of(cells, bench)
    return [(below.layer(c.config["bottom"]["layer"]), above.layer(c.config["top"]["layer"])) for c in cells]


def cell_bytes(cells: SweepCells, bench: Bench) -> list[int]:
    """What each cell of a sweep holds in bytes."""
    return [
        stream_bytes(below, above, bench.spec.batch_size, solved=cell.config["objective"] == MATCH)
        for cell, (below, above) in zip(cells, _layers(cells, bench))
    ]


def chunked(cells: SweepCells, bench: Bench) -> list[tuple[int, SweepCells]]:
    """The cells of a sweep that the memory budget takes at a time, each part with the bytes that it holds.

    Closed forms come in blocks of bottom layers by top layers, whose sums they share; fits in runs of neighbours.
    """
    if all(cell.config["objective"] == MATCH for cell in cells):
        seams = _layers(cells, bench)
        rows = bench.data.size("fit") * max(math.prod(above.positions) for _, above in seams)
        blocks = tiles(seams, rows, bench.memory, bench.spec.sums)
        sized = [(solved_bytes([seams[i] for i in some], rows, bench.spec.sums), some) for some in blocks]
    else:
        sizes = cell_bytes(cells, bench)
        sized = [(sum(sizes[i] for i in run), list(run)) for run in chunks(sizes, bench.memory)]
    return [(size, [cells[i] for i in some]) for size, some in sized]


def family_bytes(groups: Sequence[SweepCells], bench: Bench) -> int:
    """What a family holds: its stitches, the sums of all layers, and their activations for a measuring batch."""
    held, layers = 0, dict[tuple[str, str], Layer]()
    met: dict[Any, tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]] = {}  # at the same positions
    for group in groups:
        held += sum(cell_bytes(group, bench))
        names = [network.name for network in ends_of(group, bench)]
        for both in _layers(group, bench):
            sides = met.setdefault((both[1].kind, both[1].positions), ({}, {}))
            for side, name, layer in zip(sides, names, both):
                layers[name, layer.name] = layer
                side[name, layer.name] = layer.channels
    wide = sum(sum(below.values()) * sum(above.values()) for below, above in met.values())
    each = int(getattr(torch, bench.spec.sums).itemsize) + 8  # of the fit's sums, and of the measurement's
    return held + each * wide + 2 * bench.spec.batch_size * sum(map(sample_bytes, layers.values()))
