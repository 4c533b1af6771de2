"""The rest of a top behind many stitches at once: its pieces run one after the other, over all that are inside."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.data import Split
from ..network import OUTPUT, FromLayer, Network
from .senders import view_of
from .sweep import Stream, Sweep

ROWS = 4096  # samples of all streams that run through the top together
BYTES = 64_000_000  # of their largest activation; fewer where the memory budget leaves less


class Rest:
    """A top in pieces, each cut out once, whoever runs it."""

    def __init__(self, top: Network, device: torch.device) -> None:
        self.top, self._device = top, device
        self._pieces: dict[tuple[str, str | None], FromLayer] = {}
        self._mixes: bool | None = None

    def piece(self, start: str, stop: str | None) -> FromLayer:
        """From one exact cut to a later one, or to the output."""
        if (start, stop) not in self._pieces:
            make, to = (self.top.top, ()) if stop is None else (self.top.segment, (stop,))
            self._pieces[start, stop] = self.top.ready(make, start, *to, device=self._device)
        return self._pieces[start, stop]

    def mixes(self, sweep: Sweep, split: Split) -> bool:
        """Whether the top mixes the samples of a split."""
        if self._mixes is None:
            self._mixes = self.top.mixes(view_of(self.top, next(sweep.data.batches(split, 8)), self._device))
        return self._mixes


class Tails:
    """All streams of a sweep into one top.

    The top is run from each entered layer to the next; there the streams that enter are put behind those already
    inside, along the batch dimension. Nothing in a frozen top mixes samples, so that each stream's output is what its
    own tail would have given. A stream with statistics of its own, and every stream into a top that mixes samples, runs
    its own tail; so do all that are not to run ``together``.

    Args:
        streams: of the sweep.
        split: that will be read.
        together: side by side; else one by one.
        rest: of the top, where other sweeps share it.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        sweep: Sweep,
        split: Split,
        *,
        together: bool = True,
        rest: Rest | None = None,
    ) -> None:
        top, joint = sweep.top, [s for s in streams if together and not s.norms and not s.failed]
        rest = rest or Rest(top, sweep.device)
        if len(joint) < 2 or rest.mixes(sweep, split):
            joint = []
        self._top, order = top, top.cuts.index
        self._joint = sorted(joint, key=lambda s: order(top.cut(s.top_layer)))
        self._alone = [s for s in streams if all(s is not other for other in joint)]
        stops = list(dict.fromkeys(s.top_layer for s in self._joint))
        self._pieces = [(at, rest.piece(at, to)) for at, to in zip(stops, [*stops[1:], None])]
        self._rows = side_by_side(top, sweep.spare) if joint else 0

    def __call__(
        self, below: Mapping[str, Tensor], inputs: Any, mask: Tensor | None, lost: Collection[int] = ()
    ) -> Iterator[tuple[Stream, Tensor, Tensor]]:
        """(stream, its stitched activation, its output) of every stream whose id is not ``lost``."""
        for stream in self._alone:
            if id(stream) not in lost:
                stitched, values = stream.forward(below[stream.bottom_layer], inputs, mask)
                yield stream, stitched, values[OUTPUT]
        going = [stream for stream in self._joint if id(stream) not in lost]
        at_once = max(1, self._rows // max(1, len(next(iter(below.values()))))) if going else 1
        for start in range(0, len(going), at_once):
            yield from self._together(going[start : start + at_once], below, inputs, mask)

    def _together(
        self, streams: Sequence[Stream], below: Mapping[str, Tensor], inputs: Any, mask: Tensor | None
    ) -> Iterator[tuple[Stream, Tensor, Tensor]]:
        """The same of a few streams, in the order of the top's layers."""
        stitched = [stream.stitched(below[stream.bottom_layer], mask) for stream in streams]
        entering = [(stream.top_layer, x) for stream, x in zip(streams, stitched)]
        output = run_on(self._pieces, entering, self._top, inputs)
        yield from zip(streams, stitched, torch.split(output, len(stitched[0])))


def run_on(
    pieces: Sequence[tuple[str, FromLayer]], entering: Sequence[tuple[str, Tensor]], top: Network, inputs: Any
) -> Tensor:
    """The outputs for activations that enter a top at its layers, one behind the other along the batch.

    Args:
        pieces: of the top, each with the layer that it begins at.
        entering: (layer, activation of the batch), in the order of the layers.
        inputs: the batch as the top sees it.
    """
    inside: Tensor | None = None
    for at, piece in pieces:
        parts = [*([] if inside is None else [inside]), *(x for layer, x in entering if layer == at)]
        if parts:
            inside = torch.cat(parts) if len(parts) > 1 else parts[0]
            times = len(inside) // len(entering[0][1])
            inside = piece(inside, top.repeated(inputs, times) if piece.needs_input else None)
    assert inside is not None
    return inside


def side_by_side(top: Network, spare: int) -> int:
    """How many samples run through a top together, within bytes to spare."""
    largest = max((torch.Size(top.layer(name).shape).numel() for name in top.cuts), default=1)
    return max(1, min(ROWS, min(BYTES, spare) // (4 * largest)))
