"""Memory while fitting: how much a stream takes, what may be kept, and what to do when it runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ...data.batch import Batch
from ...errors import FitError
from ...network import Layer
from ...support.fast.roots import few
from ...support.memory import out_of_memory
from ..senders import Send
from ..sweep import Sweep

LEAST_BATCH = 8
T = TypeVar("T")


def stream_bytes(below: Layer, above: Layer, batch_size: int, *, solved: bool = False) -> int:
    """What each stream of a sweep holds, in bytes: activations of a measuring batch, moments, its map.

    One that is ``solved``, not fitted, holds its share of the sums and its map, and sums and a form while it is
    measured.

    What one forward and backward through the top takes comes once on top, whatever the number of streams: they pass it
    one after another.

    A batch of activations below, at the map and above (a measuring batch is two fitting batches), the moments and
    the whitener in double precision, and six copies of an affine map (weights, gradient, Adam's two, best, spare).
    """
    p, q = below.channels, above.channels
    if solved:
        return 8 * (2 * p * q + 2 * q * q + p * p) + 4 * (p + 1) * q
    activations = 2 * batch_size * 4 * (_numel(below.shape) + 2 * _numel(above.shape))
    return activations + 8 * (2 * p * p + 2 * q * q + p * q) + 6 * 4 * (p + 1) * q


def chunks(sizes: Sequence[int], budget: int | None) -> list[range]:
    """Runs of neighbours whose sizes add up to at most ``budget``; a single one may exceed it."""
    found, start, total = [], 0, 0
    for i, size in enumerate(sizes):
        if budget is not None and i > start and total + size > budget:
            found.append(range(start, i))
            start, total = i, 0
        total += size
    return [*found, range(start, len(sizes))] if sizes else []


def solved_bytes(seams: Sequence[tuple[Layer, Layer]], rows: int, sums: str = "float64") -> int:
    """What closed forms at these seams hold together, in bytes, while they are solved and measured.

    Each layer has its sums of the fit and of the measurement, and its spectrum or whitener; each seam has its products
    in both, its map and the form that tells how rare its activations are. Of few rows spectra and forms are narrow.

    Args:
        seams: (bottom layer, top layer) of each.
        rows: that are summed.
        sums: the type of the fit's sums; those of the measurement are in float64.
    """
    both = int(getattr(torch, sums).itemsize) + 8
    below = {layer.name: layer.channels for layer, _ in seams}
    above = {layer.name: layer.channels for _, layer in seams}
    each = sum(n * (both * n + 16 * _rank(n, rows)) for n in [*below.values(), *above.values()])
    crossed = sum(both * b.channels * t.channels for b, t in {(b.name, t.name): (b, t) for b, t in seams}.values())
    maps = sum(8 * _rank(t.channels, rows) * b.channels + 4 * (b.channels + 1) * t.channels for b, t in seams)
    return each + crossed + maps


def _rank(columns: int, rows: int) -> int:
    return min(columns, rows) if few(rows, columns) else columns


def tiles(seams: Sequence[tuple[Layer, Layer]], rows: int, budget: int, sums: str = "float64") -> list[list[int]]:
    """Closed forms in blocks of so many bottom layers by as many top layers as the budget takes.

    Layers that meet in one block share their sums and what follows from one side alone. A single seam may exceed it.

    Args:
        seams: (bottom layer, top layer) of each.
        rows: that are summed.
        budget: bytes.
        sums: the type of the fit's sums.

    Returns:
        The numbers of the seams in each block.
    """
    sides = [{name: at for at, name in enumerate(dict.fromkeys(s[i].name for s in seams))} for i in (0, 1)]
    longest = max(map(len, sides))
    for parts in range(1, longest + 1):
        edge = -(-longest // parts)
        found: dict[tuple[int, int], list[int]] = {}
        for at, (below, above) in enumerate(seams):
            found.setdefault((sides[0][below.name] // edge, sides[1][above.name] // edge), []).append(at)
        if all(solved_bytes([seams[i] for i in some], rows, sums) <= budget for some in found.values()):
            break
    else:  # layer by layer: several families at one seam may be taken apart
        found = {
            (at, i): some
            for at, same in enumerate(found.values())
            for i, some in enumerate(_runs(same, seams, rows, budget, sums))
        }
    return [found[key] for key in sorted(found)]


def _runs(same: list[int], seams: Sequence[tuple[Layer, Layer]], rows: int, budget: int, sums: str) -> list[list[int]]:
    sizes = [solved_bytes([seams[i]], rows, sums) for i in same]
    return [[same[i] for i in run] for run in chunks(sizes, budget)]


def attempt(work: Callable[[Sweep], T], sweep: Sweep) -> tuple[T, Sweep]:
    """``work`` with the sweep, or with half its batch as often as memory runs out; and the sweep that did.

    Raises:
        FitError: if not even a small batch fits.
    """
    while True:
        try:
            return work(sweep), sweep
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            size = sweep.spec.batch_size
            if size <= LEAST_BATCH:
                raise FitError(
                    f"Memory ran out with a batch of {size} "
                    f"({str(error).splitlines()[0] if str(error) else 'no detail'}): expected room for the donors and "
                    "one batch; stitch fewer layers at a time, or use a larger machine."
                ) from error
        if sweep.device.type == "cuda":
            torch.cuda.empty_cache()
        sweep = sweep.halved()


class Replay:
    """A sender that remembers the batches it was asked for, while they fit a budget; the same bits come back.

    For splits that are read again and again in the same order.
    """

    def __init__(self, send: Send, budget: int) -> None:
        self._send, self._left = send, budget
        self._kept: dict[bytes, dict[str, Tensor]] = {}

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        key = batch.ids.numpy().tobytes()
        if key in self._kept:
            return self._kept[key]
        values = self._send(batch)
        size = sum(v.numel() * v.element_size() for v in values.values())
        if size <= self._left:
            self._left -= size
            self._kept[key] = values
        return values


class Samples:
    """A sender that keeps every sample's activations, for fit data that do not change from pass to pass.

    The last bits may differ from a fresh forward, since a sample meets other neighbours in its batch.

    Args:
        send: the sender.
        count: the number of samples of the split.
        budget: bytes; where the whole split needs more, nothing is kept.

    Attributes:
        note: what a record should say of it; empty where all is well.
    """

    def __init__(self, send: Send, count: int, budget: int) -> None:
        self._send, self._count, self._budget = send, count, budget
        self._kept: dict[str, Tensor] = {}
        self._known = torch.zeros(count, dtype=torch.bool)
        self.note = ""

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        if bool(self._known[batch.ids].all()):
            return {name: kept[batch.ids.to(kept.device)] for name, kept in self._kept.items()}
        values = self._send(batch)
        size = sum(v.element_size() * v[0].numel() for v in values.values()) * self._count
        if size <= self._budget:
            for name, value in values.items():
                if name not in self._kept:
                    self._kept[name] = value.new_empty((self._count, *value.shape[1:]))
                self._kept[name][batch.ids.to(value.device)] = value
            self._known[batch.ids] = True
        else:
            self.note = (
                f"activations of {self._count:,} fit samples take {size / 1e9:.3g} GB, more than "
                f"cache={self._budget / 1e9:.3g}: none were kept"
            )
        return values


def sample_bytes(layer: Layer) -> int:
    """What a layer's activation takes for a sample."""
    return 4 * _numel(layer.shape)


def _numel(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= max(1, size)
    return result
