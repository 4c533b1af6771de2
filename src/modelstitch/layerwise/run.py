"""``similarity``: every bottom layer with every top layer, each value beside its null level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..data.data import Batch, Data, Split
from ..engine.entry import check_entry
from ..errors import MeasureError
from ..measures import Measure
from ..measures.calibrate import Chance, against_chance
from ..network import Network, apart
from ..results import Results
from ..support.ambient import in_settled
from ..support.device import pick_device
from ..support.progress import Tell
from . import grams, kept, sums
from .attempt import LayerPair
from .passes import Rows
from .plan import DEFAULT, VIEWS, check_ends, chosen_layers, chosen_measures, plan_similarity

_WAYS = {"sums": sums.run, "minibatch": grams.run_minibatch, "gram": grams.run_full, "rows": kept.run}


@in_settled
def similarity(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    measures: Sequence[str | Measure] = DEFAULT,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
    view: str = "pool",
    split: Split = "val",
    samples: int | None = None,
    batch_size: int = 256,
    shuffles: int = 20,
    seed: int = 0,
    device: str = "auto",
    available: int | None = None,
    tell: Tell | None = None,
) -> Results:
    """Measure how alike every chosen layer of two networks is, each value beside its null level.

    Args:
        bottom: a network; it is not changed.
        top: the other network; it is not changed.
        data: the data to take samples from; both networks see the same samples, each through its own view.
        measures: names, aliases or Measures; see docs/measures.md.
        layers: (bottom's, top's); the block cuts of both by default. Any layer may be named, exact cut or not; results
            carry the name under which the network lists it, where several stand for one value.
        view: how a sample becomes one row: "pool" (mean over positions) or "flatten" (positions and channels).
        split: "val", "fit" or "test"; never augmented.
        samples: at most so many samples, drawn by the seed.
        batch_size: samples that run through the networks at a time; minibatch CKA takes 128, by its definition.
        shuffles: number of shuffled pairings for the null level; 0 leaves it out.
        seed: seed of the order of samples, which decides the minibatches, and of the pairings.
        device: "cpu", "cuda" or "auto".
        available: bytes of memory that may be used; by default what is free.
        tell: a function that is called with progress: (what, done, of how many); see ``modelstitch.progress``.

    ``plan_similarity`` says beforehand what this takes. Measures that need only sums, and minibatch CKA, run in one
    pass whose memory does not grow with the samples. Linear CKA over all samples is summed from blocks of Gram
    matrices, which are not kept; other measures keep the activations. What does not fit at once is taken in blocks of
    layers or samples, with a pass for each. On a CPU, networks that convolve images run in channels-last layout.

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
    """
    check_ends(bottom, top, data)
    check_entry((bottom, top), data, labels=False)
    bottom, top = apart(bottom, top)
    wanted = chosen_measures(measures)
    plan = plan_similarity(
        bottom,
        top,
        data,
        measures=wanted,
        layers=layers,
        view=view,
        split=split,
        samples=samples,
        shuffles=shuffles,
        available=available,
    )

    if shuffles < 0:
        raise MeasureError(f"The number of shuffles must be 0 or more, found {shuffles}.")
    if shuffles and batch_size < 2:
        raise MeasureError(f"A batch of {batch_size} has nothing to be shuffled with: use 2 or more, or shuffles=0.")

    where = pick_device(device)
    resident = data.on(where)

    def batches(size: int) -> Iterator[Batch]:
        yield from resident.batches(split, size, seed=seed, limit=samples)

    rows = Rows((bottom, top), view, where, batches, plan.examples, tell)
    results: list[LayerPair] = []
    for step in plan.steps:
        for block in step.blocks:
            results += _WAYS[step.way](rows, block, step, batch_size, shuffles, seed)
    if all(r.value is None for r in results):
        raise MeasureError(results[0].note)
    below, above = (chosen_layers(network, layers, side) for side, network in enumerate((bottom, top)))
    order = {pair: i for i, pair in enumerate((b, t) for b in below for t in above)}
    results.sort(key=lambda r: (wanted.index(r.measure), order[r.bottom_layer, r.top_layer]))
    return Results(
        (),
        {
            "pairs": [[bottom.name, top.name]],
            "measures": [m.name for m in wanted],
            "layers": [below, above],
            "view": view,
            "split": split,
            "samples": samples,
            "shuffles": shuffles,
            "seed": seed,
            "data": {"name": data.name, "fingerprint": data.fingerprint},
            "weights": {network.name: network.weights for network in (bottom, top)},
            "about": [
                f"Data: {data.name}, {split} split.",
                f"Each example is one row: {VIEWS[view]}.",
                f"{plan.describe()}.",
            ],
        },
        similarities=_rows(bottom, top, results, plan.examples),
    )


def _rows(bottom: Network, top: Network, results: list[LayerPair], n: int) -> list[dict[str, Any]]:
    """The values as plain rows, each with where its layers lie."""
    places = {
        side: {name: (at, network.layer(name).depth) for at, name in enumerate(network.layers)}
        for side, network in (("bottom", bottom), ("top", top))
    }
    found, chances = [], _chances(results)
    for r, chance in zip(results, chances):
        row: dict[str, Any] = {}
        for side, network, layer in (("bottom", bottom, r.bottom_layer), ("top", top, r.top_layer)):
            index, depth = places[side][layer]
            row |= {side: network.name, f"{side}_layer": layer, f"{side}_index": index, f"{side}_depth": depth}
        null = {f"null_{name}": r.null and getattr(r.null, name) for name in ("mean", "low", "high")}
        measured = {"measure": r.measure.name, "kind": r.measure.kind, "value": r.value, **null, **chance}
        found.append({**row, **measured, "n": n, "note": r.note})
    return found


def _chances(results: list[LayerPair]) -> list[dict[str, float]]:
    """What each value is worth beside its null level, and beside the best of shuffled grids of the same measure."""
    found: list[dict[str, float]] = [{} for _ in results]
    for measure in dict.fromkeys(r.measure for r in results):
        mine = [i for i, r in enumerate(results) if r.measure is measure and r.value is not None and r.null]
        if mine:
            values = np.array([results[i].value for i in mine])
            null = np.array([results[i].null.values for i in mine]).T  # type: ignore[union-attr]
            for i, chance in zip(mine, zip(*against_chance(values, null, measure))):
                found[i] = dict(zip(Chance._fields, map(float, chance)))
    return found
