"""Closed forms: one pass over the fit data gives the moments of every seam, and each family is solved from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import FitError
from ..moments import Moments
from ..stitchers import rows
from .normalisation import fitting
from .senders import NetworkSender, open_quick
from .streams import Seam, Stream
from .sweep import Sweep, derive, shuffle

ENOUGH = 5000  # samples, or ten a channel, where the moments only say which activations are usual for the top


def collect(streams: Sequence[Stream], sweep: Sweep) -> dict[Seam, Moments]:
    """The moments of every seam's (bottom, top) activations over the fit split, both networks run once.

    Both networks see the same augmented samples. In a shuffled sweep each bottom activation is paired with another
    sample's top activation. Where no stitcher is made from the moments (a random start, steps in its own coordinates), the
    first samples of the pass are enough for the truth checks.

    Raises:
        NonFiniteError: naming the seam and the side whose activations hold NaN or infinity.
    """
    seams = {s.seam: s for s in streams}
    send = open_quick(sweep.sender, [below for below, _ in seams], sweep.device)
    receive = open_quick(NetworkSender(sweep.top), [above for _, above in seams], sweep.device)
    found: dict[Seam, Moments] = {}
    needed = any(s.made_from_moments for s in streams)
    enough = max([ENOUGH, *(10 * s.site.q for s in streams)])
    seen = 0
    with fitting(sweep.sender.norms, sweep):
        for batch in sweep.batches("moments"):
            if seen >= enough and not needed:
                break
            seen += len(batch)
            below, above = send(batch), receive(batch)
            order = shuffle(len(batch), batch, sweep.seed) if sweep.shuffled else None
            for seam, stream in seams.items():
                x, y, mask = stream.adapter(below[seam[0]], batch.mask), above[seam[1]], batch.mask
                if order is not None:
                    y = y[order.to(y.device)]
                    mask = None if mask is None else mask & mask[order]  # tokens on both sides
                x, y = rows(x, stream.site.kind, mask), rows(y, stream.site.kind, mask)
                if seam not in found:
                    found[seam] = Moments.empty(x.shape[1], y.shape[1], device=sweep.device)
                found[seam].update(x, y, where=f"{seam[0]} -> {seam[1]}")
            sweep.done(len(batch))
    sweep.done(sweep.data.size("fit") - seen)
    return found


def solve(streams: Sequence[Stream], moments: dict[Seam, Moments], sweep: Sweep) -> None:
    """Give every stream its stitcher: solved from the moments, or a random start where the stream asks for one.

    Raises:
        FitError: naming the seam whose solution is not finite.
    """
    for stream in streams:
        if stream.init == "random":
            seed = derive(sweep.seed, str(stream.seam), stream.family.family)
            generator = torch.Generator().manual_seed(seed)
            stitcher = stream.family.random(stream.site, generator, **stream.options)
        else:
            stitcher = stream.family.solve(moments[stream.seam], stream.site, **stream.options)
        for value in stitcher.state_dict().values():
            if not bool(torch.isfinite(value).all()):
                raise FitError(f"The {stream.family.family} stitcher at {stream} is not finite after solving.")
        stream.stitcher = stitcher.to(sweep.device).eval()
