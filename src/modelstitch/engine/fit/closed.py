"""Closed forms: one pass over the fit data gives the moments of every seam, and each family is solved from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...data.data import Batch
from ...errors import NonFiniteError
from ...stitchers import masks
from ...support.nonfinite import first_bad, refuse
from ...support.ranks import Ranks, current, first, share, together, writes
from ...support.resume import Unfinished
from ..senders import NetworkSender, open_quick
from ..streams import Stream
from ..sums import Group, all_positions, draw
from ..sweep import Sweep, derive, pieces, shuffle
from .normalisation import fitting
from .objectives import MATCH

_SeamKey = tuple[tuple[str, str], int | None]  # where, and how many samples are enough
_Streams = dict[_SeamKey, list[Stream]]
PER_CHANNEL = 10  # fit samples, where few are enough


def collect(streams: Sequence[Stream], sweep: Sweep, kept: Unfinished | None = None) -> None:
    """Give every stream the moments of its (bottom, top) activations over the fit split, both networks run once.

    Both networks see the same augmented samples. In a shuffled sweep each bottom activation is paired with another
    sample's top activation. A stitcher that is fitted afterwards takes no more than its start and its coordinates from
    the moments: the first ``start_samples`` of the pass are enough for it. How many it takes depends on nothing but
    itself.

    Args:
        kept: where sums over the whole split are left as they grow, and stay.

    Raises:
        NonFiniteError: naming the top, the layer and the sample whose activation holds NaN or infinity. Streams over
            such an activation of the bottom have failed.
    """
    asked: _Streams = {}
    for stream in streams:
        asked.setdefault((stream.seam, _enough(stream, sweep)), []).append(stream)
    what = f"the sums of {len(asked)} seams of {sweep.sender.name} -> {sweep.top.name}"
    blocks = _blocks(asked, sweep, apart=bool(sweep.sender.norms))
    whole = all(block.limit is None for block in blocks)
    if not _over_all(what, blocks, asked, sweep, kept if whole else None):
        # What is not finite takes no seam beside it along.
        blocks = _blocks(asked, sweep, apart=True)
        _over_all(what, blocks, asked, sweep, None)
    for block in blocks:
        for key in block.keys:
            for stream in asked[key]:
                stream.moments = None if stream.failed else block.group.pair(*key[0])


def _over_all(what: str, blocks: Sequence[_SumBlock], asked: _Streams, sweep: Sweep, kept: Unfinished | None) -> bool:
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
        kept.write(_state(groups, last))
    return True


def _gather(blocks: Sequence[_SumBlock], asked: _Streams, ranks: Ranks) -> None:
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
class _SumBlock:
    """Seams whose sums grow together, over the first so many samples."""

    group: Group
    keys: list[_SeamKey]
    limit: int | None


def _blocks(asked: _Streams, sweep: Sweep, *, apart: bool) -> list[_SumBlock]:
    """The seams in blocks: tops with the same positions beside all their bottoms where that takes fewer products.

    Args:
        apart: every seam by itself.
    """
    alike: dict[Any, list[_SeamKey]] = {}
    for key in asked:
        layer = sweep.top.layer(key[0][1])
        alike.setdefault((key[1], layer.kind, layer.positions, layer.over, layer.grid), []).append(key)
    found = []
    for (limit, kind, *_), keys in alike.items():
        for part in [keys] if not apart and _dense(keys, asked) else [[key] for key in keys]:
            tops = list(dict.fromkeys(seam[1] for seam, _ in part))
            adapters = {key[0][0]: asked[key][0].adapter for key in part}
            found.append(_SumBlock(Group(kind, tops, adapters), part, limit))
    return found


def _dense(keys: Sequence[_SeamKey], asked: _Streams) -> bool:
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
    blocks: Sequence[_SumBlock], asked: _Streams, sweep: Sweep, before: int, kept: Unfinished | None
) -> int | None:
    """Let the sums of all blocks grow by this process's batches that come after the first ``before``.

    Returns:
        How many batches there have been then; None where the seams of one block must be told apart.
    """
    send = open_quick(sweep.sender, [seam[0] for seam, _ in asked], sweep.device)
    receive = open_quick(NetworkSender(sweep.top), [seam[1] for seam, _ in asked], sweep.device)
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
            order = shuffle(len(batch), batch, sweep.seed) if sweep.shuffled else None
            neighbours = order is not None or bool(sweep.sender.norms)  # each sample needs its own
            for part, some in enumerate([batch] if neighbours else pieces(batch, sweep.device)):
                below, above = send(some), receive(some)
                drawn = derive(sweep.seed, "positions", str(at), str(part))
                if not all(_add(block, below, above, some, order, drawn, asked, sweep) for block in going):
                    sweep.done(-seen)
                    return None
            if kept is not None and kept.due:
                kept.write(_state([block.group for block in blocks], at))
    sweep.done(sweep.data.size("fit") - seen)
    return at


def _add(
    block: _SumBlock,
    below: dict[str, Tensor],
    above: dict[str, Tensor],
    batch: Batch,
    order: Tensor | None,
    seed: int,
    asked: _Streams,
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


def _restored(kept: Unfinished | None, groups: Sequence[Group]) -> int:
    """How many batches the sums hold that an earlier pass left."""
    state = kept.read() if kept is not None else None
    if state is None:
        return 0
    for grid, held in zip((grid for group in groups for grid in group.grids), state["grids"], strict=True):
        grid.n = held.pop("n")
        for name, target in grid.tensors().items():
            target.copy_(held[name])
    return int(state["batches"])


def _state(groups: Sequence[Group], batches: int) -> dict[str, Any]:
    return {"batches": batches, "grids": [{"n": grid.n, **grid.tensors()} for group in groups for grid in group.grids]}


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
