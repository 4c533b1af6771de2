"""One pass over the fit split, whose sums are those of all pairs of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..engine.senders import NetworkSender, open_quick
from ..engine.sums import Group, all_positions, draw, group_by_positions
from ..engine.sweep import Sweep, derive, pieces
from ..errors import NonFiniteError
from ..network import Network
from ..stitchers import masks
from ..support.nonfinite import refuse
from ..support.progress import Tell
from ..support.ranks import current, first, share, together, writes

__all__ = ["Group", "all_positions", "collect", "group_by_positions"]


def collect(
    groups: Sequence[Group],
    sweep: Sweep,
    bottom: Network,
    positions: int | None,
    dtype: torch.dtype,
    tell: Tell | None,
    *,
    restore: Callable[[], int] = lambda: 0,
    save: Callable[[int], None] = lambda batches: None,
) -> None:
    """One pass over the fit split: both networks run once, and every group's sums grow.

    Args:
        positions: at most so many positions of each example; None takes all.
        dtype: of the sums.
        restore: fills the sums with those of an earlier pass, and says how many batches it had seen.
        save: hears after each batch how many there were. Where processes share the pass, the first one restores, and saves at the
            end, when it has the sums of all.

    Raises:
        NonFiniteError: naming the network, the layer and the sample whose activation holds NaN or infinity.
    """
    with together(
        f"the sums of {bottom.name} -> {sweep.top.name}, seed {sweep.seed}, batch size {sweep.spec.batch_size}"
    ):
        whole = all_positions(sweep.data, positions)
        for group in groups:
            group.reserve(bottom, sweep.top, whole=whole, dtype=dtype, device=sweep.device)
    seen, ranks = first("the batches that are summed already", restore), current()
    with together("the pass"):
        last = _pass(groups, sweep, bottom, positions, seen, tell, save if ranks is None else lambda batches: None)
    if ranks is not None:
        for group in groups:
            for grid in group.grids:
                grid.gather(ranks)
        last = max(ranks.meet("the last batch", last))
        if writes() and last > seen:
            save(last)


def _pass(
    groups: Sequence[Group], sweep: Sweep, bottom: Network, positions: int | None, seen: int, tell: Tell | None,
    save: Callable[[int], None],
) -> int:  # fmt: skip
    """Sum this process's batches that come after the first ``seen``; how many there have been then."""
    top, device = sweep.top, sweep.device
    send = open_quick(NetworkSender(bottom), list(groups[0].adapters), device)
    receive = open_quick(NetworkSender(top), [t for group in groups for t in group.tops], device)
    total, done = min(sweep.spec.samples or sweep.data.size("fit"), sweep.data.size("fit")), 0
    at, (rank, size) = 0, share()
    for number, batch in enumerate(sweep.batches("moments", share=(rank, size))):
        at = number * size + rank + 1
        n = len(batch.ids)
        if at <= seen:
            done += n
            continue
        generator = torch.Generator().manual_seed(derive(sweep.seed, "positions", str(at)))
        for some in pieces(batch, device):
            below, above = send(some), receive(some)
            for group in groups:
                mask = some.mask
                marked = mask if mask is not None and masks(mask, above[group.tops[0]], group.kind) else None
                y = above[group.tops[0]]
                per_example = y.numel() // (len(some) * top.layer(group.tops[0]).channels)
                try:
                    group.add(below, above, mask, draw(per_example, len(some), positions, generator, marked))
                except NonFiniteError:
                    refuse(bottom.name, below, some.ids)
                    refuse(top.name, above, some.ids)
                    raise  # the sums overflow, not the activations
        done += n
        save(at)
        if tell:
            tell(f"{bottom.name} -> {top.name}: sums", done, total)
    return at
