"""The processes of a group of torch.distributed that share a pass over the data.

Who takes which batches, and sums over all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

from ..errors import StitchError, first_line
from .kinds import kinds
from .memory import out_of_memory

T = TypeVar("T")
PATIENCE = 1800.0  # seconds
_TRY = "call init_process_group('gloo') in a script that torchrun starts"
_current: Ranks | None = None


@dataclass(frozen=True)
class _Said:
    """What a process brings to a meeting: its name and a value; or why it failed, and whether memory ran out."""

    what: str
    value: Any = None
    failed: str = ""
    short: bool = False


class Ranks:
    """What one process knows of its group.

    Args:
        group: of gloo, for tensors in main memory.
        seconds: how long it waits for the others.

    Attributes:
        rank, size: this process, of how many.
    """

    def __init__(self, group: Any, seconds: float) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._group, self._seconds = group, seconds
        self._over = False  # the others know that this process failed, or cannot be reached

    def first(self, what: str, work: Callable[[], T]) -> T:
        """What ``work`` gives on the first process, on all.

        Raises:
            StitchError: as ``together``.
        """
        value: T | None = None
        with self._telling():
            value = work() if self.rank == 0 else None
        found: T = self.meet(what, value)[0]
        return found

    @contextmanager
    def together(self, what: str) -> Iterator[None]:
        """Around work that all do: one that fails tells the others.

        Args:
            what: this work, in words that are the same on all.

        Raises:
            StitchError: another process failed, is at something else, has gone, or gave no word in time; what failed
                here is raised as it is.
            MemoryError: memory ran out on another process.
        """
        with self._telling():
            yield
        self.meet(what)

    def agree(self, value: Any) -> None:
        """Refuse a comparison whose cells are not equal on all processes.

        Raises:
            StitchError: with the first process that has another one.
        """
        values = self.meet("comparison", value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise StitchError(
                    f"Process {rank} of {self.size} is asked for another comparison than process 0: expected the same "
                    "networks, data and options on all; give every process the same files and seeds."
                )

    def add(self, *tensors: Tensor) -> None:
        """Put the sum over all processes into tensors of the same shapes on each, equal bit for bit on all.

        Raises:
            StitchError: as ``together``.
        """
        for tensor in tensors:
            held = tensor.cpu().contiguous()
            with self._told():
                # What the first process has is what all have, whatever the order in which a ring adds.
                dist.reduce(held, 0, group=self._group)
                dist.broadcast(held, 0, group=self._group)
            if held is not tensor:
                tensor.copy_(held)

    def count(self, number: int) -> int:
        """The sum of a number over all processes."""
        return sum(self.meet("count", number))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Around all that is shared: the processes end together, and one that fails tells the others.

        Raises:
            StitchError: as ``together``.
        """
        with self._telling():
            yield
        if not self._over:
            self.meet("the end")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self._over:
                short = out_of_memory(error)
                found = self._exchange(_Said("", failed=first_line(error), short=short))
                self._over = not short and not all(said.failed for said in found)
            raise

    def meet(self, what: str, value: Any = None) -> list[Any]:
        """What each process brings to a meeting of that name, in the order of ranks.

        Raises:
            StitchError, MemoryError: as ``together``.
        """
        if self._over:
            raise StitchError(
                f"The {self.size} processes no longer work together: expected no failure before; start all again."
            )
        found = self._exchange(_Said(what, value))
        for rank, said in enumerate(found):
            if said.short:  # all try it again with less
                raise MemoryError(f"memory ran out on process {rank} of {self.size}")
            if said.failed or said.what != what:
                self._over = True
                raise StitchError(
                    f"Process {rank} of {self.size} failed: {said.failed}"
                    if said.failed
                    else f"Process {rank} of {self.size} is at {said.what!r}, process {self.rank} at {what!r}: "
                    "expected the same calls in the same order on all; ask every process the same."
                )
        return [said.value for said in found]

    def _exchange(self, said: _Said) -> list[_Said]:
        found: list[Any] = [None] * self.size
        with self._told():
            dist.all_gather_object(found, said, group=self._group)
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A process that has gone as one sentence."""
        try:
            yield
        except RuntimeError as error:
            self._over = True
            raise _gone(self.size, self._seconds) from error


def _gone(size: int, seconds: float) -> StitchError:
    return StitchError(
        f"Another process of the {size} has gone, or gave no word for {seconds:,.0f} seconds: expected all of them to "
        "end together; see what it says, and start all again."
    )


@kinds()
@contextmanager
def across_ranks(*, seconds: float = PATIENCE) -> Iterator[Ranks]:
    """Share the passes that closed forms take over the fit data among all processes of torch.distributed's group.

    Inside, every process asks the same ``stitch``, ``compare`` (with ``objective="match"``) or ``matrix``. Each runs
    its share of the batches of the one pass; the sums are added over all, in float64, and each solves and measures the
    same maps. The numbers are those of one process to about 1e-12. Process 0 alone writes into ``out=`` and ``kept=``.

    Args:
        seconds: how long a process waits for the others before it gives up.

    Yields:
        The processes that share.

    Raises:
        StitchError: there is no group; or (inside) another process failed, has gone, gave no word in time, or was asked
            something else.

    Examples:
        >>> group = torch.distributed  # here of one process; torchrun starts many, and needs no store
        >>> group.init_process_group("gloo", store=group.HashStore(), rank=0, world_size=1)
        >>> with ms.across_ranks() as ranks:
        ...     r = ms.compare(bottom, top, data, layers="block2", objective="match", controls=())
        >>> ranks.size
        1
        >>> group.destroy_process_group()
    """
    global _current
    if not (dist.is_available() and dist.is_initialized()):
        raise StitchError(
            f"There are no processes to share work with: expected an initialised group of torch.distributed; {_TRY}."
        )
    if not seconds > 0:
        raise StitchError(f"A process waits for the others for seconds above 0, found {seconds!r}: try {PATIENCE:g}.")
    if _current is not None:
        raise StitchError("Work is shared among the processes already: expected one across_ranks() around all calls.")
    # A group of our own: sums are added in main memory whatever the caller's group is for, and it keeps our patience.
    try:
        group = dist.new_group(backend="gloo", timeout=timedelta(seconds=seconds))
    except RuntimeError as error:
        raise _gone(dist.get_world_size(), seconds) from error
    _current = ranks = Ranks(group, seconds)
    try:
        with ranks.whole():
            yield ranks
    finally:
        _current = None
        dist.destroy_process_group(group)


def current() -> Ranks | None:
    """The processes that share work now; None where there is this one alone."""
    return _current


def writes() -> bool:
    """Whether this process is the one that writes."""
    return _current is None or _current.rank == 0


def first(what: str, work: Callable[[], T]) -> T:
    """What ``work`` gives on the process that writes, on all of them."""
    return work() if _current is None else _current.first(what, work)


@contextmanager
def together(what: str) -> Iterator[None]:
    """Around work that all processes do, see ``Ranks.together``; nothing where there is this one alone."""
    if _current is None:
        yield
        return
    with _current.together(what):
        yield


def share() -> tuple[int, int]:
    """(this process, of how many): it takes the batches whose number leaves its own."""
    return (0, 1) if _current is None else (_current.rank, _current.size)
