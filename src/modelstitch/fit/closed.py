"""Closed forms: one pass over the fit data gives the moments of every seam, and each family is solved from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import torch

from ..errors import FitError
from ..moments import Moments
from ..network import Network
from ..sources.data import Batch, Data
from ..stitchers import rows
from .options import FitSpec
from .senders import NetworkSender, Sender
from .streams import Stream

Tick = Callable[[int], None]


def collect(
    streams: Sequence[Stream],
    sender: Sender,
    top: Network,
    data: Data,
    spec: FitSpec,
    *,
    seed: int,
    device: torch.device,
    shuffled: bool = False,
    tick: Tick | None = None,
) -> dict[tuple[str, str], Moments]:
    """The moments of every seam's (bottom, top) activations over the fit split, both networks run once.

    Both networks see the same augmented samples. ``shuffled`` pairs each bottom activation with another sample's top
    activation: the null level.
    """
    seams = {(s.bottom_layer, s.top_layer): s for s in streams}
    send = sender.open([b for b, _ in seams], device)
    receive = NetworkSender(top).open([t for _, t in seams], device)
    found: dict[tuple[str, str], Moments] = {}
    for batch in fit_batches(data, spec, seed=seed):
        below, above = send(batch), receive(batch)
        order = shuffle(len(batch), batch, seed) if shuffled else None
        for seam, stream in seams.items():
            x, y = stream.adapter(below[seam[0]]), above[seam[1]]
            if order is not None:
                y = y[order.to(y.device)]
            x, y = rows(x, stream.site.kind), rows(y, stream.site.kind)
            if seam not in found:
                found[seam] = Moments.empty(x.shape[1], y.shape[1], device=device)
            found[seam].update(x, y, where=f"{seam[0]} -> {seam[1]}")
        if tick:
            tick(len(batch))
    return found


def solve(streams: Sequence[Stream], moments: dict[tuple[str, str], Moments], *, seed: int) -> None:
    """Give every stream its stitcher: solved from the moments, or a random start where the stream asks for one."""
    for stream in streams:
        site, seam = stream.site, (stream.bottom_layer, stream.top_layer)
        if stream.init == "random":
            generator = torch.Generator().manual_seed(derive(seed, str(seam), stream.family.family))
            stitcher = stream.family.random(site, generator, **stream.options)
        else:
            stitcher = stream.family.solve(moments[seam], site, **stream.options)
        for parameter in stitcher.state_dict().values():
            if not bool(torch.isfinite(parameter).all()):
                raise FitError(
                    f"The {stream.family.family} stitcher at {seam[0]} -> {seam[1]} is not finite after solving."
                )
        device = next(iter(moments.values())).xx.device if moments else torch.device("cpu")
        stream.stitcher = stitcher.to(device).eval()


def fit_batches(data: Data, spec: FitSpec, *, seed: int) -> Iterator[Batch]:
    """One pass over the fit split as the spec wants it: shuffled by the seed, augmented, limited."""
    return data.batches(
        "fit",
        spec.batch_size,
        seed=derive(seed, "order"),
        augment=spec.augment and data.augment is not None,
        limit=spec.samples,
    )


def derive(seed: int, *purpose: str) -> int:
    """A seed of its own for each purpose, the same in every run."""
    digest = hashlib.sha256("/".join([str(seed), *purpose]).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def shuffle(n: int, batch: Batch, seed: int) -> torch.Tensor:
    """A permutation of a batch without fixed points where possible: a random cyclic order."""
    generator = torch.Generator().manual_seed(derive(seed, "shuffle", str(int(batch.ids[0]))))
    order = torch.randperm(n, generator=generator)
    result = torch.empty_like(order)
    result[order] = order.roll(1)
    return result
