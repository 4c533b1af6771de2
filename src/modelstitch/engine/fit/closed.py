"""Closed forms: one pass over the fit data gives the moments of every seam, and each family is solved from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ...data.batch import Batch
from ...data.data import Data
from ...errors import NonFiniteError, StitchError
from ...moments.grid import rows_of
from ...moments.moments import Moments
from ...moments.spread import Spread, SpreadGrid
from ...network import Layer, positions_of
from ...network.nonfinite import first_bad, refuse
from ...stitchers import Adapter, Bring, Stitcher, channels_back, channels_last, masks, rows
from ...support.ranks import Ranks, current, first, share, together, writes
from ...support.resume import Unfinished
from ..senders import Company, NetworkSender, Send, open_quick
from ..sweep import Stream, Sweep, derive, pieces, shuffle
from .normalisation import fitting
from .options import MATCH

SeamKey = tuple[tuple[str, str], int | None]  # where, and how many samples are enough
SeamStreams = dict[SeamKey, list[Stream]]
PER_CHANNEL = 10  # fit samples, where few are enough


def collect(streams: Sequence[Stream], sweep: Sweep, kept: Unfinished | None = None) -> None:
    """Give every stream the moments of its (bottom, top) activations over the fit split, both networks run once.

    Both networks see the same augmented samples. In a shuffled sweep each bottom activation is paired with another
    sample's top activation. A stitcher that is fitted afterwards takes no more than its start and its coordinates from
    the moments: the first ``start_samples`` of the pass are enough for it, and for no map at all. How many it takes
    depends on nothing but itself.

    Args:
        kept: where sums over the whole split are left as they grow, and stay.

    Raises:
        NonFiniteError: naming the top, the layer and the sample whose activation holds NaN or infinity. Streams over
            such an activation of the bottom have failed.
    """
    asked = _asked(streams, sweep)
    what = f"the sums of {len(asked)} seams of {sweep.sender.name} -> {sweep.top.name}"
    blocks = grouped(asked, sweep.top, apart=bool(sweep.sender.norms))
    whole = any(block.limit is None for block in blocks)
    if not _over_all(what, blocks, asked, sweep, kept if whole else None):
        # What is not finite takes no seam beside it along.
        blocks = grouped(asked, sweep.top, apart=True)
        _over_all(what, blocks, asked, sweep, None)
    for block in blocks:
        for key in block.keys:
            for stream in asked[key]:
                stream.moments = None if stream.failed else block.group.pair(*key[0])


def collect_together(streams: Sequence[Stream], sweep: Sweep, kept: Unfinished | None = None) -> bool:
    """As ``collect``, of streams between any networks of one ``Company``, which sends and receives.

    Returns:
        Whether all sums are finite; where they are not, whoever asks for a pair by itself is told of the layer.

    Raises:
        NonFiniteError: as ``collect``.
        MeasureError: the sums do not fit.
    """
    asked = _asked(streams, sweep)
    blocks = grouped(asked, sweep.top, one_set=True)
    if not _over_all(f"the sums of {len(asked)} seams of {sweep.sender.name}", blocks, asked, sweep, kept):
        return False
    for block in blocks:
        for key in block.keys:
            for stream in asked[key]:
                stream.moments = block.group.pair(*key[0])
    return not any(stream.failed for stream in streams)


def look_again(streams: Sequence[Stream], sweep: Sweep) -> None:
    """Sum the rows of streams whose family asks for a second look, brought in the way that the first one tells.

    Raises:
        NonFiniteError: as ``collect``.
    """
    asking: dict[Any, list[Stream]] = {}
    for stream in streams:
        if stream.moments is not None and not stream.failed and stream.init == "closed":
            asking.setdefault((stream.family, *stream.options.items()), []).append(stream)
    for alike in asking.values():
        asked = _asked(alike, sweep)
        blocks = grouped(asked, sweep.top, apart=True)
        for block in list(blocks):
            first = asked[block.keys[0]][0]
            assert first.moments is not None
            block.group.bring = first.family.brought(first.moments, first.site)
            if block.group.bring is None:
                blocks.remove(block)
        if not blocks:
            continue
        _over_all(f"a second look for {alike[0].family.family}", blocks, asked, replace(sweep, tick=None), None)
        for block in blocks:
            for stream in asked[block.keys[0]]:
                if not stream.failed:
                    assert stream.moments is not None
                    stream.moments = stream.moments.beside(block.group.pair(*stream.seam))


def _over_all(what: str, blocks: Sequence[SumBlock], asked: SeamStreams, sweep: Sweep, kept: Unfinished | None) -> bool:
    """One pass by all processes that share it: the sums of each block over all samples.

    Whether they are finite, or the seams told apart.
    """
    ranks = current()
    groups = [block.group for block in blocks]
    with together(f"{what}, seed {sweep.seed}, batch size {sweep.spec.batch_size}"):
        sides, dtype = all_positions(sweep.data, sweep.spec.positions), getattr(torch, sweep.spec.sums)
        for group in groups:
            group.reserve(sweep.sender, sweep.top, whole=sides, dtype=dtype, device=sweep.device)
    before = first("the batches that are summed already", lambda: _restored(kept, groups))
    with together("the pass"):
        last = _pass(blocks, asked, sweep, before, kept if ranks is None else None)
    if ranks is not None:
        lasts = ranks.meet("the last batch", last)
        last = None if None in lasts else max(lasts)
        _gather(blocks if last is not None else [], asked, ranks)
    if last is None:
        return False
    if kept is not None and writes() and last > before:
        _keep(kept, blocks, asked, last)
    return True


def _gather(blocks: Sequence[SumBlock], asked: SeamStreams, ranks: Ranks) -> None:
    """Add the sums of all processes; a seam that failed on one of them has failed on all."""
    failed = ranks.meet("the seams that failed", [same[0].failed for same in asked.values()])
    for same, reasons in zip(asked.values(), zip(*failed)):
        for stream in same:
            stream.failed = next(filter(None, reasons), "")
    for block in blocks:
        if not asked[block.keys[0]][0].failed:
            for grid in block.group.grids:
                grid.gather(ranks)


@dataclass
class SumBlock:
    """SeamStreams whose sums grow together, over the first so many samples."""

    group: SumGroup
    keys: list[SeamKey]
    limit: int | None


def grouped(asked: SeamStreams, above: Layered, *, apart: bool = False, one_set: bool = False) -> list[SumBlock]:
    """The seams in blocks: tops with the same positions beside all their bottoms where that takes fewer products.

    Args:
        above: what the layers are on top.
        apart: every seam by itself.
        one_set: the layers below are those above: one name is one layer.
    """
    alike: dict[Any, list[SeamKey]] = {}
    for key in asked:
        layer = above.layer(key[0][1])
        alike.setdefault((key[1], layer.kind, layer.positions, layer.over, layer.grid), []).append(key)
    found = []
    for (limit, kind, *_), keys in alike.items():
        joined = [] if apart else _joined(keys, one_set=one_set)
        parts = [part for some in joined for part in ([some] if _dense(some, asked) else [[key] for key in some])]
        for part in parts or [[key] for key in keys]:
            tops = list(dict.fromkeys(seam[1] for seam, _ in part))
            adapters = {key[0][0]: asked[key][0].adapter for key in part}
            found.append(SumBlock(SumGroup(kind, tops, adapters), part, limit))
    return found


def _joined(keys: Sequence[SeamKey], *, one_set: bool) -> list[list[SeamKey]]:
    """The seams in sets that have no layer in common."""
    found: list[tuple[set[Any], list[SeamKey]]] = []
    for key in keys:
        ends = set(key[0]) if one_set else set(enumerate(key[0]))
        touched = [known for known in found if known[0] & ends]
        found = [known for known in found if not known[0] & ends]
        layers = ends.union(*(layers for layers, _ in touched))
        found.append((layers, [*(each for _, same in touched for each in same), key]))
    return [same for _, same in found]


def _dense(keys: Sequence[SeamKey], asked: SeamStreams) -> bool:
    """Whether one product of all bottoms with all tops takes no more than those of the seams one by one."""
    p, q = {}, {}
    alone = 0
    for key in keys:
        site = asked[key][0].site
        p[key[0][0]], q[key[0][1]] = site.p, site.q
        alone += site.p**2 + site.q**2 + site.p * site.q
    at_once = sum(n**2 for n in [*p.values(), *q.values()]) + sum(p.values()) * sum(q.values())
    return at_once <= alone


def _pass(
    blocks: Sequence[SumBlock], asked: SeamStreams, sweep: Sweep, before: int, kept: Unfinished | None
) -> int | None:
    """Let the sums of all blocks grow by this process's batches that come after the first ``before``.

    Returns:
        How many batches there have been then; None where the seams of one block must be told apart.
    """
    send, receive = _opened([seam for seam, _ in asked], sweep)
    seen, at, (rank, size) = 0, 0, share()
    with fitting(sweep.sender.norms, sweep):
        for number, batch in enumerate(sweep.batches("moments", share=(rank, size))):
            going = [b for b in blocks if not asked[b.keys[0]][0].failed and (b.limit is None or seen < b.limit)]
            if not going:
                break
            at = number * size + rank + 1
            seen += len(batch)
            sweep.done(len(batch))
            if at <= before:
                continue
            if not _sum(going, batch, at, send, receive, asked, sweep):
                sweep.done(-seen)
                return None
            if kept is not None and kept.due:
                _keep(kept, blocks, asked, at)
    sweep.done(sweep.data.size("fit") - seen)
    return at


def _opened(seams: Sequence[tuple[str, str]], sweep: Sweep) -> tuple[Send, Send]:
    """What gives the activations of both ends of the seams for a batch."""
    if isinstance(sweep.sender, Company):  # every network runs once, whichever end of a seam it is
        send = sweep.sender.open([layer for seam in seams for layer in seam], sweep.device)
        return send, send
    below, above = ([seam[side] for seam in seams] for side in (0, 1))
    return open_quick(sweep.sender, below, sweep.device), open_quick(NetworkSender(sweep.top), above, sweep.device)


def _sum(
    blocks: Sequence[SumBlock], batch: Batch, at: int, send: Send, receive: Send, asked: SeamStreams, sweep: Sweep
) -> bool:
    """Add a batch to the sums of blocks, piece by piece where no sample needs its neighbours; as ``_add``."""
    order = shuffle(len(batch), batch, sweep.seed) if sweep.shuffled else None
    neighbours = order is not None or bool(sweep.sender.norms)
    for part, some in enumerate([batch] if neighbours else pieces(batch, sweep.device)):
        below = send(some)
        above = below if receive is send else receive(some)
        drawn = derive(sweep.seed, "positions", str(at), str(part))
        if not all(_add(block, below, above, some, order, drawn, asked, sweep) for block in blocks):
            return False
        del below, above  # else they stay while the next piece goes through
    return True


def _add(
    block: SumBlock,
    below: dict[str, Tensor],
    above: dict[str, Tensor],
    batch: Batch,
    order: Tensor | None,
    seed: int,
    asked: SeamStreams,
    sweep: Sweep,
) -> bool:
    """Add a batch to the sums of a block; False where one of its several seams is not finite."""
    kind, mask = block.group.kind, batch.mask
    above = {t: above[t] if order is None else above[t][order.to(above[t].device)] for t in block.group.tops}
    both = mask if mask is None or order is None else mask & mask[order]  # tokens on both sides
    y = next(iter(above.values()))
    marked = both if both is not None and masks(both, y, kind) else None
    places = y.numel() // (len(batch) * asked[block.keys[0]][0].site.q)
    kept = draw(places, len(batch), sweep.spec.positions, torch.Generator().manual_seed(seed), marked)
    try:
        block.group.add(below, above, mask, kept)
    except NonFiniteError as error:
        bad = next((t for t in above if first_bad(above[t], batch.ids) is not None), None)
        if bad is not None:  # as of an input that is not finite itself
            refuse(sweep.sender.name, {b: below[b] for b in block.group.adapters}, batch.ids)
            refuse(sweep.top.name, {bad: above[bad]}, batch.ids)
        if len(block.keys) > 1:
            return False
        (key,) = block.keys
        _fail(asked[key], sweep.sender.name, {key[0][0]: below[key[0][0]]}, batch.ids, error)
    return True


def _restored(kept: Unfinished | None, groups: Sequence[SumGroup]) -> int:
    """How many batches the sums hold that an earlier pass left."""
    state = kept.read() if kept is not None else None
    if state is None:
        return 0
    for grid, held in zip((grid for group in groups for grid in group.grids), state["grids"], strict=True):
        grid.take_up(held)
    return int(state["batches"])


def _keep(kept: Unfinished, blocks: Sequence[SumBlock], asked: SeamStreams, batches: int) -> None:
    """Leave the sums of so many batches; not where a seam has failed, whose sums are of fewer."""
    if not any(asked[block.keys[0]][0].failed for block in blocks):
        kept.write({"batches": batches, "grids": [grid.state() for block in blocks for grid in block.group.grids]})


def _fail(streams: list[Stream], name: str, activations: dict[str, Tensor], ids: Tensor, error: NonFiniteError) -> None:
    """Streams over a bottom that gives NaN have failed; those at other layers go on."""
    try:
        refuse(name, activations, ids)
    except NonFiniteError as found:
        error = found
    for stream in streams:  # else the sums overflow, not the activations
        stream.failed = str(error)


def _asked(streams: Sequence[Stream], sweep: Sweep) -> SeamStreams:
    """The streams by seam, and by how many samples they take."""
    found: SeamStreams = {}
    for stream in streams:
        found.setdefault((stream.seam, _enough(stream, sweep)), []).append(stream)
    return found


def takes_all(objective: str, family: type[Stitcher]) -> bool:
    """Whether a map is solved from all fit samples; few are enough for a start, and where nothing is solved."""
    return objective == MATCH and family.solves


def _enough(stream: Stream, sweep: Sweep) -> int | None:
    """How many fit samples a stream's moments need; None is all of them."""
    if takes_all(stream.objective, stream.family):
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


COLUMN = 32_768  # bytes of one channel's rows that are multiplied at once


class Layered(Protocol):
    """A network, or a sender that stands for one."""

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        ...


@dataclass
class SumGroup:
    """Top layers with the same positions, and the sums of every bottom layer with them.

    Attributes:
        kind: where their channels are.
        tops: the layers.
        adapters: {bottom layer: the step to these positions}.
        bring: how the rows of both sides are brought before they are summed, where they are not as they come.
    """

    kind: str
    tops: list[str]
    adapters: dict[str, Adapter]
    bring: tuple[Bring, Bring] | None = None
    _parts: list[_GridPart] = field(default_factory=list)

    @property
    def grids(self) -> list[SpreadGrid]:
        """The sums, once they are reserved."""
        return [part.grid for part in self._parts]

    def pair(self, b: str, t: str) -> Moments:
        """The sums of one pair of layers."""
        return next(part.grid.pair(b, t) for part in self._parts if b in part.grid.bottom_layers)

    def reserve(self, bottom: Layered, top: Layered, *, whole: bool, dtype: torch.dtype, device: torch.device) -> None:
        """Make room for the sums.

        Args:
            whole: whether all positions of every example count, so that bottom layers with fewer of them may keep to
                their own.

        Raises:
            MeasureError: they do not fit; the message holds both sizes.
        """
        ways = self.bring or (None, None)
        above = {t: _width(top.layer(t), ways[1]) for t in self.tops}
        first: SpreadGrid | None = None
        for key, bottoms in self._ways(bottom, top, whole and self.bring is None).items():
            spread = None if key is None else _spread(self.adapters[bottoms[0]], self.kind)
            one_set = bottom is top and set(bottoms) == set(self.tops)
            one_set = one_set and all(self.adapters[b].plain for b in bottoms)
            grid = SpreadGrid(
                above if one_set else {b: _width(bottom.layer(b), ways[0]) for b in bottoms},
                None if one_set else above,
                spread=spread,
                beside=None if one_set else first,
                dtype=dtype,
                device=device,
            )
            first = first or grid
            self._parts.append(_GridPart(grid, {b: bottom.layer(b).kind for b in bottoms}))

    def _ways(self, bottom: Layered, top: Layered, whole: bool) -> dict[Any, list[str]]:
        """The bottom layers that are multiplied at the same positions.

        Their own where those are fewer, else (None) the top's.
        """
        place = top.layer(self.tops[0])
        ways: dict[Any, list[str]] = {}
        for b, adapter in self.adapters.items():
            layer = bottom.layer(b)
            volume = (
                len(layer.positions) > 2 or len(place.positions) > 2
            )  # the matrix of all their positions would be too large
            few = whole and not adapter.plain and not volume and 0 < _count(layer) < _count(place)
            ways.setdefault((layer.kind, layer.positions, layer.over, layer.grid) if few else None, []).append(b)
        return ways

    def add(
        self, below: Mapping[str, Tensor], above: Mapping[str, Tensor], mask: Tensor | None, kept: Tensor | None
    ) -> None:
        """Add a batch of activations; ``mask``: which positions hold a token; ``kept``: only these rows."""
        y = {t: _some(channels_last(above[t], self.kind), kept) for t in self.tops}
        if self.bring is not None:
            y = {t: self.bring[1](value) for t, value in y.items()}
        waiting: list[tuple[SpreadGrid, dict[str, Tensor]]] = []
        for part in self._parts:
            direct = part.grid.spread is None
            x = {
                b: _some(channels_last(self.adapters[b](below[b], mask), self.kind), kept)
                if direct
                else channels_last(below[b], kind)
                for b, kind in part.kinds.items()
            }
            if self.bring is not None:
                x = {b: self.bring[0](value) for b, value in x.items()}
            waiting.append((part.grid, x))
        n = len(next(iter(y.values())))
        if n == 0:
            return
        # A few examples at a time, so that what is written is still in the cache when it is multiplied.
        step = max(1, COLUMN // self.grids[0].dtype.itemsize // (rows_of(y) // n))
        for start in range(0, n, step):
            some = slice(start, start + step)
            for grid, x in waiting:
                grid.take({b: rows[some] for b, rows in x.items()}, {t: rows[some] for t, rows in y.items()})
        for grid, _ in waiting:
            grid.settle()


@dataclass
class _GridPart:
    grid: SpreadGrid
    kinds: dict[str, str]  # {bottom layer: its kind}


def all_positions(data: Data, positions: int | None) -> bool:
    """Whether every position of every example counts: none is drawn, and no example is padded."""
    first = next(data.batches("fit", 1)).inputs  # that it is whole itself says nothing of the others
    return positions is None and not (isinstance(first, dict) and data.mask in first)


def draw(
    per_example: int, n: int, positions: int | None, generator: torch.Generator, mask: Tensor | None = None
) -> Tensor | None:
    """Rows of a batch to keep: so many positions, drawn anew, of each example, no padding among them.

    None keeps all.
    """
    if positions is not None and positions < 1:
        raise StitchError(f"positions must be 1 or more, found {positions}.")
    if positions is None or positions >= per_example:
        return None if mask is None else mask.flatten().nonzero()[:, 0]
    order = torch.rand(n, per_example, generator=generator)
    order = order if mask is None else order.masked_fill(~mask, 2.0)  # padding comes last
    drawn = order.argsort(1)[:, :positions]
    kept = (drawn + per_example * torch.arange(n)[:, None]).flatten()
    return kept if mask is None else kept[mask.flatten()[kept]]


def _some(x: Tensor, kept: Tensor | None) -> Tensor:
    return x if kept is None else x.reshape(-1, x.shape[-1])[kept.to(x.device)]


def _width(layer: Layer, bring: Bring | None) -> int:
    """Columns of a layer's rows as they are summed."""
    return layer.channels if bring is None else bring(torch.zeros(1, layer.channels)).shape[-1]


def _count(layer: Layer) -> int:
    return math.prod(layer.positions)


def _spread(adapter: Adapter, kind: str) -> Spread:
    """The adapter as a matrix: what it makes of activations whose channels each mark one position."""
    places = positions_of(adapter.source.kind, adapter.source.shape)
    marks = torch.eye(math.prod(places)).view(1, *places, -1)
    found = rows(adapter(channels_back(marks, adapter.source.kind)), kind)
    sides: Any = (adapter.grid_in, adapter.grid_out)
    return Spread(found, sides if all(side and len(side) == 2 for side in sides) else None)
