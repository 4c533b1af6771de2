"""Looks at the validation split: which of two states errs less, told by as few samples as it takes.

A split of at most ``look`` samples is read whole. Of a larger one a look reads so many, drawn once by the seed: states
are compared on the same samples, so that what is hard for both counts for neither. When a fit ends, its best state and
its last one are compared: the last one is kept, unless the other leads by more than luck gives the best of several
looks. Where that is not clear both are read on, twice as many samples each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property

import torch
from torch import Tensor

from ...data.batch import Batch, all_labels, chunks
from ...data.subsets import balanced_order
from ..evaluate import outcomes, own_error, own_outcomes
from ..measure import Outcome
from ..senders import Send
from ..sweep import Sweep, derive
from .run import Run


class Looking:
    """What the runs of one stage are looked at on.

    Args:
        sweep: of the stage.
        send: the bottom on the validation split.

    Attributes:
        decides: whether a look may say all that a fit is for.
    """

    def __init__(self, sweep: Sweep, send: Send) -> None:
        self._sweep, self._send = sweep, send
        self._size, self._few = sweep.data.size("val"), sweep.spec.look
        self.decides = sweep.enough is not None
        self._order = _order(sweep) if self._few < self._size else None

    def outcomes(self, runs: Sequence[Run]) -> list[Outcome | None]:
        """What every run's stitch does on the samples of a look; None where it gives NaN or infinity."""
        return self._outcomes(runs, 0, self._few)

    @cached_property
    def own(self) -> Outcome:
        """What the top does alone on them."""
        top = self._sweep.top
        some = self._batches(0, self._few)
        return own_outcomes({top.name: top}, self._sweep, "val", fitting=True, batches=some)[top.name]

    def own_error(self) -> tuple[float, float]:
        """As ``evaluate.own_error``, on these samples."""
        return own_error(self._sweep, self.own)

    def choose(self, runs: Sequence[Run]) -> None:
        """Keep the better one of the best state and the last of each run, where a part of the split was looked at.

        Runs that the samples so far leave undecided are read on side by side.
        """
        read = self._few
        while read < self._size and (open_ := [run for run in runs if run.undecided]):
            more = min(self._size, 2 * read)
            last = self._outcomes(open_, read, more)
            for run in open_:
                run.swap()
            best = self._outcomes(open_, read, more)
            for run, *found in zip(open_, best, last, strict=True):
                run.swap()
                run.compare(*found)
            read = more
        for run in runs:
            run.decide(self._size)

    def _outcomes(self, runs: Sequence[Run], start: int, stop: int) -> list[Outcome | None]:
        with ExitStack() as stack:
            for run in runs:
                stack.enter_context(run.at_rest())
            some = self._batches(start, stop)
            return outcomes([run.stream for run in runs], self._sweep, "val", self._send, batches=some)

    def _batches(self, start: int, stop: int) -> Iterator[Batch] | None:
        """These of the drawn samples, in batches as a whole split comes in; None is the whole split."""
        if self._order is None:
            return None
        parts = chunks(self._order[start:stop], 2 * self._sweep.spec.batch_size)
        return (self._sweep.data.chosen("val", ids) for ids in parts)


def _order(sweep: Sweep) -> Tensor:
    """The validation samples in an order of the seed's, every part of it as fair a draw of the classes as may be."""
    seed, labels = derive(sweep.seed, "looks"), None
    if sweep.data.task.by_class:
        labels = all_labels(sweep.data.dataset("val"), scan=False)
    if labels is not None:
        return balanced_order(labels, seed)
    return torch.randperm(sweep.data.size("val"), generator=torch.Generator().manual_seed(seed))
