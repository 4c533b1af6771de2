"""Closed forms: one pass over the fit data gives the moments of every seam, and each family is solved from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import NonFiniteError
from ...moments.moments import Moments
from ...stitchers import rows
from ...support.nonfinite import first_bad, refuse
from ..senders import NetworkSender, open_quick
from ..streams import Seam, Stream
from ..sweep import Sweep, derive, pieces, shuffle
from .normalisation import fitting
from .objectives import MATCH

PER_CHANNEL = 10  # fit samples, where few are enough


def collect(streams: Sequence[Stream], sweep: Sweep) -> None:
    """Give every stream the moments of its (bottom, top) activations over the fit split, both networks run once.

    Both networks see the same augmented samples. In a shuffled sweep each bottom activation is paired with another
    sample's top activation. A stitcher that is fitted afterwards takes no more than its start and its coordinates from the
    moments: the first ``start_samples`` of the pass are enough for it. How many it takes depends on nothing but itself.

    Raises:
        NonFiniteError: naming the top, the layer and the sample whose activation holds NaN or infinity. Streams over such an
            activation of the bottom have failed.
    """
    send = open_quick(sweep.sender, [s.bottom_layer for s in streams], sweep.device)
    receive = open_quick(NetworkSender(sweep.top), [s.top_layer for s in streams], sweep.device)
    asked: dict[tuple[Seam, int | None], list[Stream]] = {}
    for stream in streams:
        asked.setdefault((stream.seam, _enough(stream, sweep)), []).append(stream)
    found: dict[tuple[Seam, int | None], Moments] = {}
    seen = 0
    with fitting(sweep.sender.norms, sweep):
        for batch in sweep.batches("moments"):
            going = [key for key in asked if key[1] is None or seen < key[1]]
            if not going:
                break
            order = shuffle(len(batch), batch, sweep.seed) if sweep.shuffled else None
            whole = order is not None or bool(sweep.sender.norms)  # each sample needs its neighbours
            for some in [batch] if whole else pieces(batch, sweep.device):
                below, above = send(some), receive(some)
                for key in [key for key in going if key in asked]:
                    seam, stream = key[0], asked[key][0]
                    x, y, mask = stream.adapter(below[seam[0]], some.mask), above[seam[1]], some.mask
                    if order is not None:
                        y = y[order.to(y.device)]
                        mask = None if mask is None else mask & mask[order]  # tokens on both sides
                    x, y = rows(x, stream.site.kind, mask), rows(y, stream.site.kind, mask)
                    if key not in found:
                        found[key] = Moments.empty(x.shape[1], y.shape[1], device=sweep.device)
                    try:
                        found[key].update(x, y, where=f"{seam[0]} -> {seam[1]}")
                    except NonFiniteError as error:
                        if first_bad(above[seam[1]], some.ids) is not None:  # as of an input that is not finite itself
                            refuse(sweep.sender.name, {seam[0]: below[seam[0]]}, some.ids)
                            refuse(sweep.top.name, {seam[1]: above[seam[1]]}, some.ids)
                        _fail(asked.pop(key), sweep.sender.name, {seam[0]: below[seam[0]]}, some.ids, error)
            seen += len(batch)
            sweep.done(len(batch))
    sweep.done(sweep.data.size("fit") - seen)
    for key, same in asked.items():
        for stream in same:
            stream.moments = found[key]


def _fail(streams: list[Stream], name: str, activations: dict[str, Tensor], ids: Tensor, error: NonFiniteError) -> None:
    """Streams over a bottom that gives NaN have failed; those at other layers go on."""
    try:
        refuse(name, activations, ids)
    except NonFiniteError as found:
        error = found
    for stream in streams:  # else the sums overflow, not the activations
        stream.failed = str(error)


def _enough(stream: Stream, sweep: Sweep) -> int | None:
    """How many fit samples a stream's moments need; None is all of them."""
    if stream.objective == MATCH:
        return None
    widest = max(stream.site.p, stream.site.q)
    if isinstance(sweep.sender, NetworkSender) and sweep.sender.norms:
        # The length of the pass moves their statistics: the same for all streams, however they are grouped.
        both = sweep.sender.network, sweep.top
        widest = max((n.layer(block).channels for n in both for block in n.blocks), default=widest)
    return max(sweep.spec.start_samples, PER_CHANNEL * widest)


def solve(streams: Sequence[Stream], sweep: Sweep) -> None:
    """Give every stream its stitcher: solved from its moments, or a random start where the stream asks for one.

    One whose solution is not finite has failed.
    """
    for stream in streams:
        if stream.failed:
            continue
        if stream.init == "random":
            seed = derive(sweep.seed, str(stream.seam), stream.family.family)
            generator = torch.Generator().manual_seed(seed)
            stitcher = stream.family.random(stream.site, generator, **stream.options)
        else:
            assert stream.moments is not None
            stitcher = stream.family.solve(stream.moments, stream.site, **stream.options)
        if not all(bool(torch.isfinite(value).all()) for value in stitcher.state_dict().values()):
            stream.failed = f"The {stream.family.family} stitcher at {stream} is not finite after solving."
        stream.stitcher = stitcher.to(sweep.device).eval()
