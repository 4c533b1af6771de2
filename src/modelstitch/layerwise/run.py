"""``similarity``: every layer of a network with every layer of the others, each value beside its null level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.batch import Batch
from ..data.data import Data, Split
from ..engine.entry import check_entry
from ..errors import MeasureError, first_line
from ..measures import Measure
from ..measures.calibrate import Chance, against_chance
from ..network import Network
from ..report.family import check_groups
from ..results import Results
from ..support.device import pick_device
from ..support.kinds import kinds
from ..support.progress import Tell
from .meeting import Layers, Meeting, meeting_of
from .passes import FailedNetworkError, Rows
from .plan import DEFAULT, VIEWS, Plan, check_view, chosen_measures, plan_of
from .ways import LayerPair, run_full, run_minibatch, run_rows, run_sums

WAYS = {"sums": run_sums, "minibatch": run_minibatch, "gram": run_full, "rows": run_rows}


@kinds("bottom", "top", "data", "pairs", "layers", "device", settled=True)
def similarity(
    bottom: Network | Sequence[Network],
    top: Network | None = None,
    data: Data | None = None,
    *,
    pairs: str | Sequence[tuple[str, str]] = "all",
    groups: Mapping[str, str] | None = None,
    measures: str | Measure | Sequence[str | Measure] = DEFAULT,
    layers: Layers | None = None,
    view: str = "pool",
    split: Split = "val",
    samples: int | None = None,
    batch_size: int = 256,
    shuffles: int = 20,
    seed: int = 0,
    device: str = "auto",
    available: int | None = None,
    activations: str | Path | None = None,
    tell: Tell | None = None,
) -> Results:
    """Measure how alike every chosen layer of two or more networks is, each value beside its null level.

    Args:
        bottom: a network; or a list of networks, and no top. None is changed.
        top: the other network.
        data: the data to take samples from; all networks see the same samples, each through its own view.
        pairs: of a list of networks: "all", every two of them once, and both ways where a measure looks one way; or
            (bottom, top) names.
        groups: of a list of networks: {network: group}, kept for ``Results.family``, which says what tells them apart.
        measures: names, aliases or Measures; see docs/measures.md.
        layers: (bottom's, top's); the block cuts of both by default. Of a list of networks: names that all have, a list
            for each, or {network: names}. Any layer may be named, exact cut or not; results carry the name under which
            the network lists it, where several stand for one value.
        view: how a sample becomes one row: "pool" (mean over positions) or "flatten" (positions and channels).
        split: "val", "fit" or "test"; never augmented.
        samples: at most so many samples, drawn by the seed.
        batch_size: samples that run through the networks at a time; minibatch CKA takes 128, by its definition.
        shuffles: number of shuffled pairings for the null level; 0 leaves it out.
        seed: seed of the order of samples, which decides the minibatches, and of the pairings.
        device: "cpu", "cuda" or "auto".
        available: bytes of memory that may be used; by default what is free.
        activations: a folder that keeps what the networks give at these layers, in shards with ids: each sample runs
            once, in however many blocks the memory takes the layers, and a run that was stopped goes on.
        tell: a function that is called with progress: (what, done, of how many); see ``modelstitch.progress``.

    ``plan_similarity`` says beforehand what this takes. Every network runs once over a batch, however many it is
    compared with. Measures that need only sums, and minibatch CKA, run in one
    pass whose memory does not grow with the samples. Linear CKA over all samples is summed from blocks of Gram
    matrices, which are not kept; other measures keep the activations. What does not fit at once is taken in blocks of
    layers or samples, with a pass for each. On a CPU, networks that convolve images run in channels-last layout.

    Of a list of networks, one that fails on a batch is left out, and ``cautions`` says why; the others stand.

    Raises:
        MeasureError: a measure or view is unknown, the memory does not suffice (with its size), or no measure is
            defined for any pair. If only some are not defined, their values are None, and a note says why.
        NonFiniteError: NaN or infinity; the layer and the sample's id are named.
        UnknownLayerError: with the closest names.
        StitchError: two networks have one name, or the device cannot be used.

    Returns:
        Results: one value for each measure and pair of layers, with its null level, as a frame, heat maps and a page.

    Examples:
        >>> asked = dict(measures=["cka_linear_debiased"], layers=(["block1"], ["block1", "block2"]), samples=100)
        >>> m = ms.similarity(bottom, top, data, **asked)
        >>> m.frame.height
        2
        >>> three = [bottom, top, top.named("other")]
        >>> m = ms.similarity(three, data=data, measures=["cka"], layers=["block1"], samples=100)
        >>> m.pairs
        [('bottom', 'top'), ('bottom', 'other'), ('top', 'other')]
    """
    check_view(view)
    wanted = chosen_measures(measures)
    meeting = meeting_of(bottom, top, data, layers, pairs)
    assert data is not None
    kin = check_groups(groups, list(meeting.networks)) if groups is not None else {}
    check_entry(tuple(meeting.networks.values()), data, labels=False)
    if shuffles < 0:
        raise MeasureError(f"The number of shuffles must be 0 or more, found {shuffles}.")
    if shuffles and batch_size < 2:
        raise MeasureError(f"A batch of {batch_size} has nothing to be shuffled with: use 2 or more, or shuffles=0.")
    where = pick_device(device)
    resident = data.on(where)
    if activations is not None:
        meeting = meeting.keeping(activations)
    cautions: list[str] = []

    def batches(size: int) -> Iterator[Batch]:
        yield from resident.batches(split, size, seed=seed, limit=samples)

    while True:
        plan = plan_of(
            meeting, data, wanted, view=view, split=split, samples=samples, shuffles=shuffles, available=available
        )
        rows = Rows(meeting, view, where, batches, plan.examples, tell)
        try:
            results = _measured(rows, plan, batch_size, shuffles, seed)
            break
        except FailedNetworkError as failed:
            meeting = _without(meeting, failed, cautions)
    if all(r.value is None for r in results):
        raise MeasureError(results[0].note)
    return Results(
        (),
        {
            "pairs": [list(pair) for pair in meeting.pairs],
            **({"groups": {name: kin[name] for name in meeting.networks}} if kin else {}),
            "measures": [m.name for m in wanted],
            "layers": meeting.stated,
            "view": view,
            "split": split,
            "samples": samples,
            "shuffles": shuffles,
            "seed": seed,
            "data": {"name": data.name, "fingerprint": data.fingerprint},
            "weights": {name: network.weights for name, network in meeting.networks.items()},
            "about": [
                f"Data: {data.name}, {split} split.",
                f"Each example is one row: {VIEWS[view]}.",
                f"{plan.describe()}.",
                *cautions,
            ],
        },
        cautions=cautions,
        similarities=_rows(meeting, results, wanted, plan.examples),
    )


def _measured(rows: Rows, plan: Plan, batch_size: int, shuffles: int, seed: int) -> list[LayerPair]:
    """All steps of a plan."""
    results: list[LayerPair] = []
    for step in plan.steps:
        if step.kept:
            rows.keep(rows.places, batch_size)
        for block in step.blocks:
            results += WAYS[step.way](rows, block, step, batch_size, shuffles, seed)
        rows.forget()
    return results


def _without(meeting: Meeting, failed: FailedNetworkError, cautions: list[str]) -> Meeting:
    """The meeting without a network that failed.

    Raises:
        Exception: what it raised, where no other pair is left.
    """
    rest = meeting.without(failed.name)
    if meeting.sides or not rest.pairs:
        raise failed.why
    said = first_line(failed.why).rstrip(".")
    cautions.append(f"The network {failed.name!r} failed on a batch and is left out, with its pairs: {said}.")
    return rest


def _rows(meeting: Meeting, results: list[LayerPair], wanted: list[Measure], n: int) -> list[dict[str, Any]]:
    """The values as plain rows, each with where its layers lie, in the order in which they were asked for."""
    places = meeting.places
    at = {key: i for i, key in enumerate(places)}
    index = {name: {layer: i for i, layer in enumerate(net.layers)} for name, net in meeting.networks.items()}
    turns = {pair: i for i, pair in enumerate([*meeting.pairs, *((t, b) for b, t in meeting.pairs)])}
    turns |= {pair: i for i, pair in enumerate(meeting.pairs)}

    def key(r: LayerPair) -> tuple[int, ...]:
        pair = places[r.bottom][0].name, places[r.top][0].name
        return wanted.index(r.measure), turns[pair], at[r.bottom], at[r.top]

    results = sorted(results, key=key)
    found = []
    for r, chance in zip(results, _chances(results, [key(r)[:2] for r in results])):
        row: dict[str, Any] = {}
        for side, end in (("bottom", r.bottom), ("top", r.top)):
            network, layer = places[end]
            where = {"_layer": layer.name, "_index": index[network.name][layer.name], "_depth": layer.depth}
            row |= {side: network.name, **{f"{side}{what}": value for what, value in where.items()}}
        null = {f"null_{name}": r.null and getattr(r.null, name) for name in ("mean", "low", "high")}
        measured = {"measure": r.measure.name, "kind": r.measure.kind, "value": r.value, **null, **chance}
        found.append({**row, **measured, "n": n, "note": r.note})
    return found


def _chances(results: list[LayerPair], grids: list[tuple[int, ...]]) -> list[dict[str, float]]:
    """What each value is worth beside its null level, and beside the best of shuffled grids: of its measure and pair.

    Args:
        grids: which one each result is of.
    """
    found: list[dict[str, float]] = [{} for _ in results]
    parts: dict[tuple[int, ...], list[int]] = {}
    for i, (r, grid) in enumerate(zip(results, grids)):
        if r.value is not None and r.null:
            parts.setdefault(grid, []).append(i)
    for mine in parts.values():
        values = np.array([results[i].value for i in mine])
        null = np.array([results[i].null.values for i in mine]).T  # type: ignore[union-attr]
        for i, chance in zip(mine, zip(*against_chance(values, null, results[mine[0]].measure))):
            found[i] = dict(zip(Chance._fields, map(float, chance)))
    return found
