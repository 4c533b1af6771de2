"""What BatchNorm does in a stitched network: three policies, each on copies of the donors' statistics.

frozen        the donors' own statistics, always.
recalibrated  fitted as ``frozen``; then the statistics of the bottom and of the top are taken anew: one pass over the
              fit data through the stitched network in training mode, the plain mean over its batches.
batch         what the code of Bansal et al. (2021) did: both parts run in training mode while the map is fitted, so
              that stitched activations overwrite their running statistics; measured with what is left at the end.
              No state is chosen on the way: the map of the last step belongs to the statistics of the last step.
              The bottom's statistics are common to the cells of a sweep, which therefore share one objective, and move
              for all of its steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch

from ...network.norms import Mode, Norm
from ..senders import view_of
from ..sweep import Stream, Sweep


@contextmanager
def mode(norms: Mapping[str, Norm], wanted: Mode) -> Iterator[None]:
    """Statistics in another mode for a while; frozen again afterwards, also after an error."""
    for norm in norms.values():
        norm.mode = wanted
    try:
        yield
    finally:
        for norm in norms.values():
            norm.mode = "frozen"


def fitting(norms: Mapping[str, Norm], sweep: Sweep) -> AbstractContextManager[None]:
    """The mode of statistics while a map is fitted."""
    return mode(norms, "running" if sweep.normalisation == "batch" else "frozen")


def settle(streams: Sequence[Stream], sweep: Sweep) -> None:
    """What the policy asks for once the maps are fitted.

    ``recalibrated``: statistics are re-estimated. ``batch``: a stream that took no steps (closed form) gets the one
    pass in training mode that a fitted one has had. The pass is noted in each stream; one in which the statistics of
    the top are not finite has failed.
    """
    if sweep.normalisation == "frozen":
        return
    renew = sweep.normalisation == "recalibrated"
    _renew(streams, sweep, renew)
    for stream in streams:
        broken = next((name for name, norm in stream.norms.items() if not norm.finite), None)
        if broken is not None and not stream.failed:
            stream.failed = f"The statistics of BatchNorm {broken!r} of the top are not finite in the stitch {stream}."
        stream.notes.append(_said(len(sweep.sender.norms), len(stream.norms), renew))


def _said(below: int, above: int, renew: bool) -> str:
    if not below + above:
        return "no BatchNorm layer with running statistics: the normalisation policy changes nothing"
    how = "re-estimated on fit data" if renew else "overwritten while fitting"
    return f"BatchNorm statistics {how}: {below} layers of the bottoms, {above} of the top"


def _renew(streams: Sequence[Stream], sweep: Sweep, renew: bool) -> None:
    """Renew the statistics of all streams; else those of streams that took no steps get the pass that others had."""
    chosen = [s for s in streams if not s.failed and (renew or s.stopped == "closed form")]
    below: Mapping[str, Norm] = sweep.sender.norms if renew else {}
    if chosen and (below or any(s.norms for s in chosen)):
        _pass(chosen, below, sweep, "mean" if renew else "running")


def _pass(streams: Sequence[Stream], below: Mapping[str, Norm], sweep: Sweep, wanted: Mode) -> None:
    norms = {f"bottom/{k}": v for k, v in below.items()}
    for i, stream in enumerate(streams):
        norms |= {f"{i}/{k}": v for k, v in stream.norms.items()}
    for norm in norms.values():
        norm.restart()
    send = sweep.sender.open([s.bottom_layer for s in streams], sweep.device)
    with torch.no_grad(), mode(norms, wanted):
        for batch in sweep.batches("statistics"):
            activations, inputs = send(batch), view_of(sweep.top, batch, sweep.device)
            for stream in streams:
                stream.forward(activations[stream.bottom_layer], inputs, batch.mask)
