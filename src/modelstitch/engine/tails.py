"""The way of many stitches through one top: streams that are inside it run the rest of it as one batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..data.data import Split
from ..network import OUTPUT, FromLayer
from .senders import view_of
from .streams import Stream
from .sweep import Sweep

ROWS = 4096  # samples of all streams that run through the top together
BYTES = 64_000_000  # of their largest activation; fewer where the memory budget leaves less


class Tails:
    """All streams of a sweep into one top.

    The top is run from each entered layer to the next; there the streams that enter are put behind those already
    inside, along the batch dimension. Nothing in a frozen top mixes samples, so that each stream's output is what its
    own tail would have given. A stream with statistics of its own, and every stream into a top that mixes samples, runs
    its own tail.
    """

    def __init__(self, streams: Sequence[Stream], sweep: Sweep, split: Split) -> None:
        top, order = sweep.top, sweep.top.cuts.index
        joint = [s for s in streams if not s.norms and not s.failed]
        if len(joint) > 1:
            few = next(sweep.data.batches(split, 8))
            joint = [] if top.mixes(view_of(top, few, sweep.device)) else joint
        self._top = top
        self._joint = sorted(joint, key=lambda s: order(top.cut(s.top_layer))) if len(joint) > 1 else []
        self._alone = [s for s in streams if all(s is not other for other in self._joint)]
        stops = list(dict.fromkeys(s.top_layer for s in self._joint))
        pieces = [top.segment(a, b) for a, b in pairwise(stops)] + [top.top(stops[-1])] if stops else []
        self._pieces: list[tuple[str, FromLayer]] = [(at, p.to(sweep.device)) for at, p in zip(stops, pieces)]
        largest = max((torch.Size(top.layer(name).shape).numel() for name in top.cuts), default=1)
        self._rows = max(1, min(ROWS, min(BYTES, sweep.spare) // (4 * largest)))

    def __call__(
        self, below: dict[str, Tensor], inputs: Any, mask: Tensor | None, lost: Collection[int] = ()
    ) -> Iterator[tuple[Stream, Tensor, Tensor]]:
        """(stream, its stitched activation, its output) of every stream whose id is not ``lost``."""
        for stream in self._alone:
            if id(stream) not in lost:
                stitched, values = stream.forward(below[stream.bottom_layer], inputs, mask)
                yield stream, stitched, values[OUTPUT]
        going = [stream for stream in self._joint if id(stream) not in lost]
        at_once = max(1, self._rows // max(1, len(next(iter(below.values())))))
        for start in range(0, len(going), at_once):
            yield from self._together(going[start : start + at_once], below, inputs, mask)

    def _together(
        self, streams: Sequence[Stream], below: dict[str, Tensor], inputs: Any, mask: Tensor | None
    ) -> Iterator[tuple[Stream, Tensor, Tensor]]:
        """The same of a few streams, in the order of the top's layers."""
        stitched = [stream.stitched(below[stream.bottom_layer], mask) for stream in streams]
        inside: Tensor | None = None
        for at, piece in self._pieces:
            new = [x for stream, x in zip(streams, stitched) if stream.top_layer == at]
            parts = [*([] if inside is None else [inside]), *new]
            if parts:
                inside = torch.cat(parts) if len(parts) > 1 else parts[0]
                times = len(inside) // len(stitched[0])
                inside = piece(inside, self._top.repeated(inputs, times) if piece.needs_input else None)
        assert inside is not None
        yield from zip(streams, stitched, torch.split(inside, len(stitched[0])))
