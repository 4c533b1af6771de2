"""Memory while fitting: how much a stream takes, what may be kept, and what to do when it runs out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ...data.batch import Batch
from ...errors import FitError
from ...network import OUTPUT, Layer, Network
from ...network.passes import quick
from ...support.fast.products import few
from ...support.footprint import most_held
from ...support.memory import out_of_memory
from ..senders import Send
from ..sweep import Sweep
from ..tails import Rest, run_on, side_by_side
from .closed import COLUMN
from .options import FitSpec

LEAST_BATCH = 8
T = TypeVar("T")


def stream_bytes(below: Layer, above: Layer, batch_size: int, *, solved: bool = False) -> int:
    """What each stream of a sweep holds, in bytes: activations of a measuring batch, moments, its map.

    One that is ``solved``, not fitted, holds its share of the sums and its map, and sums and a form while it is
    measured.

    What one forward and backward through the top takes comes once on top, whatever the number of streams: they pass it
    one after another.

    A batch of activations below, at the map and above (a measuring batch is two fitting batches), the moments and
    the whitener in double precision, and six copies of an affine map (weights, gradient, two of the optimiser's and
    of the mean, best, spare).
    """
    p, q = below.channels, above.channels
    if solved:
        return 8 * (2 * p * q + 2 * q * q + p * p) + 4 * (p + 1) * q
    return activation_bytes(below, above, batch_size) + 8 * (2 * p * p + 2 * q * q + p * q) + 6 * 4 * (p + 1) * q


def activation_bytes(below: Layer, above: Layer, batch_size: int) -> int:
    """A measuring batch of a stream's activations: below, at the map and above."""
    return 2 * batch_size * 4 * (_numel(below.shape) + 2 * _numel(above.shape))


def way_bytes(
    seams: Sequence[tuple[str, str]],
    below: Network,
    above: Network,
    spec: FitSpec,
    *,
    val: int,
    spare: int,
    steps: bool,
) -> int | None:
    """What tensors hold at most while batches go through the networks and the rest of the top.

    The larger of a step of the stream with the longest rest, beside the validation activations that are kept for looks,
    and of a measuring batch of all streams side by side.

    Args:
        seams: (bottom layer, top layer) of the streams.
        below: sends.
        val: validation samples.
        spare: bytes that may be kept, or run side by side.
        steps: some are fitted by steps.

    Returns:
        Bytes; None where a network asks for numbers, so that nobody can tell without running it.
    """
    lower, upper = (list(dict.fromkeys(seam[side] for seam in seams)) for side in (0, 1))
    upper.sort(key=lambda name: above.cuts.index(above.cut(name)))
    cpu, size = torch.device("cpu"), spec.batch_size
    rest, send = Rest(above, cpu), quick(below, lower, cpu)

    def entering(name: str, n: int) -> Tensor:
        layer = above.layer(name)
        return torch.zeros(n, *layer.shape, dtype=layer.dtype)

    def summed(network: Network, values: dict[str, Tensor]) -> list[Tensor]:
        """What the sums of the truth checks keep: some rows in double, layers of the same positions side by side."""
        layers = [network.layer(name) for name in values if name != OUTPUT]
        places, made = Counter(layer.positions for layer in layers), list[Tensor]()
        for layer in layers:
            some = values[layer.name][: max(1, COLUMN // 8 // math.prod(layer.positions))]
            made += [some.double(), *([some.clone()] if places[layer.positions] > 1 else [])]
        return made

    def step() -> None:
        with torch.no_grad():
            sent = send(below.batch_of(size))
        x, tail = entering(upper[0], size).requires_grad_(True), rest.piece(upper[0], None)
        tail(x, above.batch_of(size) if tail.needs_input else None).float().sum().backward()
        del sent  # a step holds it until then

    def measure() -> None:
        with torch.no_grad():
            sides = (
                below.taps(lower)(below.batch_of(2 * size)),
                above.taps(upper, output=True)(above.batch_of(2 * size)),
            )
            rows = [summed(network, side) for network, side in zip((below, above), sides)]
            some = sorted((top for _, top in seams), key=upper.index)[
                : max(1, side_by_side(above, spare) // (2 * size))
            ]
            stitched = [(name, entering(name, 2 * size)) for name in some]
            pieces = [(at, rest.piece(at, to)) for at, to in zip(upper, [*upper[1:], None])]
            run_on(pieces, stitched, above, above.batch_of(2 * size))
            del sides, rows

    found = [most_held(measure)]
    if steps:
        kept = min(spare, min(spec.look, val) * sum(sample_bytes(below.layer(name)) for name in lower))
        found.append(None if (most := most_held(step)) is None else most + kept)
    return None if None in found else max(n for n in found if n is not None)


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

    Each layer has its sums of the fit, and its spectrum or whitener; each seam has its products, its map and the form
    that tells how rare its activations are. The measurement has sums of its own. Of few rows spectra and forms are
    narrow.

    Args:
        seams: (bottom layer, top layer) of each.
        rows: that are summed.
        sums: the type of the fit's sums; those of the measurement are in float64.
    """
    one = int(getattr(torch, sums).itemsize)
    below, above, pairs = _met(seams)
    fitted = sum(n * (one * n + 16 * _rank(n, rows)) for n in [*below.values(), *above.values()])
    fitted += sum(one * p * q for p, q in pairs.values())
    maps = sum(8 * _rank(t.channels, rows) * b.channels + 4 * (b.channels + 1) * t.channels for b, t in seams)
    return fitted + maps + _measured_bytes(seams)


def _measured_bytes(seams: Sequence[tuple[Layer, Layer]]) -> int:
    """The sums of a measurement: of layers and pairs; of a top in half precision those of every stitch's own output."""
    whole = [(b, t) for b, t in seams if t.dtype in (torch.float32, torch.float64)]
    below, above, pairs = _met(whole)
    plain = sum(n**2 for n in [*below.values(), *above.values()]) + sum(p * q for p, q in pairs.values())
    half = [t for _, t in seams if t.dtype not in (torch.float32, torch.float64)]
    each = sum(2 * t.channels**2 for t in half) + sum(q**2 for q in {t.name: t.channels for t in half}.values())
    return 8 * (plain + each)


def _met(
    seams: Sequence[tuple[Layer, Layer]],
) -> tuple[dict[str, int], dict[str, int], dict[tuple[str, str], tuple[int, int]]]:
    """{layer: channels} of both sides, and of each pair of layers that meet; several families meet once."""
    return (
        {b.name: b.channels for b, _ in seams},
        {t.name: t.channels for _, t in seams},
        {(b.name, t.name): (b.channels, t.channels) for b, t in seams},
    )


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
