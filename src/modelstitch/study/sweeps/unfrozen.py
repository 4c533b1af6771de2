"""Stitches of a study that are trained further, each on a copy; donors stay frozen."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...data.batch import Batch
from ...engine.evaluate import own_outcomes
from ...engine.fit.tune import RATE, told_of, tuned
from ...engine.joined import Joined
from ...engine.measure import Outcome
from ...engine.senders import view_of
from ...engine.sweep import Stream, Sweep
from ...engine.truth import Truth, TruthOfOne
from ...errors import FitError, NonFiniteError
from ...network import Network
from ..plan import Cell


def tuned_results(
    cells: Sequence[Cell],
    streams: Sequence[Stream],
    results: Sequence[tuple[Outcome, Truth] | None],
    sweep: Sweep,
    below: Network | None,
) -> list[tuple[Outcome, Truth] | None]:
    """What the stitches do on the test split, those that are to be tuned after it.

    Args:
        cells: of one sweep.
        streams: fitted; what is tuned is said in their notes and history.
        results: as they were measured.
        sweep: that they are of.
        below: the network that sends.

    Returns:
        The results; None where there is nothing to measure.
    """
    found = list(results)
    for at, (cell, stream) in enumerate(zip(cells, streams, strict=True)):
        unfreeze = cell.config.get("unfreeze")
        if unfreeze is not None and found[at] is not None and below is not None:
            found[at] = _tuned(stream, str(unfreeze), sweep, below)
    return found


def _tuned(stream: Stream, unfreeze: str, sweep: Sweep, below: Network) -> tuple[Outcome, Truth] | None:
    top, name = sweep.top, f"the stitch {stream}"
    assert stream.stitcher is not None
    parts = below.bottom(stream.bottom_layer), stream.adapter, stream.stitcher, top.top(stream.top_layer)
    model = Joined().joined(*parts).to(sweep.device)
    spec = sweep.spec.model_copy(update={"learning_rate": RATE})
    stream.notes.append(told_of(unfreeze))
    genuine, truth = top.bottom(stream.top_layer).to(sweep.device), TruthOfOne(stream)

    def answer(batch: Batch) -> Tensor:
        above = view_of(top, batch, sweep.device)
        stitched = made.at_seam(view_of(below, batch, sweep.device), batch.mask)
        truth.add(stitched, genuine(above), batch.mask)
        return made.onward(stitched, above)

    try:
        made, history = tuned(model, (below, top), sweep.data, unfreeze, spec, seed=sweep.seed, name=name)
        outcome = own_outcomes({name: answer}, sweep, "test")[name]
    except (FitError, NonFiniteError) as error:
        stream.failed = str(error)
        return None
    stream.history += history
    return outcome, truth.of()
