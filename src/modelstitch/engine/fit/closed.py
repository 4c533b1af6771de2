"""Closed forms: one pass over the fit data gives the moments of every seam, and each family is solved from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import NonFiniteError
from ...moments.moments import Moments
from ...stitchers import rows
from ...support.nonfinite import first_bad, refuse
from ...support.ranks import Ranks, current, share, together
from ..senders import NetworkSender, open_quick
from ..streams import Stream
from ..sweep import Sweep, derive, pieces, shuffle
from .normalisation import fitting
from .objectives import MATCH

_Streams = dict[tuple[tuple[str, str], int | None], list[Stream]]
_Sums = dict[tuple[tuple[str, str], int | None], Moments]
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
    asked: _Streams = {}
    for stream in streams:
        asked.setdefault((stream.seam, _enough(stream, sweep)), []).append(stream)
    what = f"the sums of {len(asked)} seams of {sweep.sender.name} -> {sweep.top.name}"
    with together(f"{what}, seed {sweep.seed}, batch size {sweep.spec.batch_size}"):
        found = _pass(asked, sweep)
    if (ranks := current()) is not None:
        found = _over(found, asked, ranks)
    for key, same in asked.items():
        for stream in same:
            stream.moments = None if stream.failed else found[key]


def _over(found: _Sums, asked: _Streams, ranks: Ranks) -> _Sums:
    """The moments over the batches of all processes; a seam that failed on one of them has failed on all."""
    failed = ranks.meet("the seams that failed", [same[0].failed for same in asked.values()])
    for same, reasons in zip(asked.values(), zip(*failed)):
        for stream in same:
            stream.failed = next(filter(None, reasons), "")
    return {key: found[key].over(ranks) for key, same in asked.items() if not same[0].failed}


def _pass(asked: _Streams, sweep: Sweep) -> _Sums:
    """The moments of this process's batches."""
    send = open_quick(sweep.sender, [seam[0] for seam, _ in asked], sweep.device)
    receive = open_quick(NetworkSender(sweep.top), [seam[1] for seam, _ in asked], sweep.device)
    found = {key: Moments.empty(same[0].site.p, same[0].site.q, device=sweep.device) for key, same in asked.items()}
    seen = 0
    with fitting(sweep.sender.norms, sweep):
        for batch in sweep.batches("moments", share=share()):
            going = [key for key in asked if not asked[key][0].failed and (key[1] is None or seen < key[1])]
            if not going:
                break
            order = shuffle(len(batch), batch, sweep.seed) if sweep.shuffled else None
            whole = order is not None or bool(sweep.sender.norms)  # each sample needs its neighbours
            for some in [batch] if whole else pieces(batch, sweep.device):
                below, above = send(some), receive(some)
                for key in [key for key in going if not asked[key][0].failed]:
                    seam, stream = key[0], asked[key][0]
                    x, y, mask = stream.adapter(below[seam[0]], some.mask), above[seam[1]], some.mask
                    if order is not None:
                        y = y[order.to(y.device)]
                        mask = None if mask is None else mask & mask[order]  # tokens on both sides
                    x, y = rows(x, stream.site.kind, mask), rows(y, stream.site.kind, mask)
                    try:
                        found[key].update(x, y, where=f"{seam[0]} -> {seam[1]}")
                    except NonFiniteError as error:
                        if first_bad(above[seam[1]], some.ids) is not None:  # as of an input that is not finite itself
                            refuse(sweep.sender.name, {seam[0]: below[seam[0]]}, some.ids)
                            refuse(sweep.top.name, {seam[1]: above[seam[1]]}, some.ids)
                        _fail(asked[key], sweep.sender.name, {seam[0]: below[seam[0]]}, some.ids, error)
            seen += len(batch)
            sweep.done(len(batch))
    sweep.done(sweep.data.size("fit") - seen)
    return found


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
    with together("solving"):
        _solve(streams, sweep)


def _solve(streams: Sequence[Stream], sweep: Sweep) -> None:
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
