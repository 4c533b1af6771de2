"""What work will take, said before it begins: how much of it there is, passes over the data, memory, and time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .memory import readable
from .words import duration

WARM, TIMED = 2, 5  # steps: to warm up, and measured


class Foretold(Protocol):
    """What says beforehand what work will take."""

    def sentences(self) -> list[str]:
        """For who wants to know no more than that."""

    def line(self) -> str:
        """For who wants the work, before it begins."""

    def plain(self) -> dict[str, Any]:
        """The numbers, for other programs."""


@dataclass(frozen=True)
class Ahead:
    """What work will take.

    Attributes:
        what: there is to do, counted: "3 maps to fit".
        passes: over the data, or steps.
        memory: bytes, at most.
        beside: what comes on top of them, in words.
        seconds: on this machine.
        how: these were found.
        more: further sentences, of what would be written.
    """

    what: str
    passes: str
    memory: int
    beside: str
    seconds: float
    how: str = "estimated from measured batches"
    more: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """For a reader, one line each."""
        return [
            f"{self.what}. Nothing was kept or written.",
            f"{self.passes}.",
            f"Memory: up to {readable(self.memory)}, beside {self.beside}.",
            f"Time: about {duration(self.seconds)} here, {self.how}.",
            *self.more,
        ]

    def line(self) -> str:
        """The same in one line, before the work begins."""
        return (
            f"To run: {self.what}; {self.passes}; memory up to {readable(self.memory)}, beside {self.beside}; about "
            f"{duration(self.seconds)} here."
        )

    def plain(self) -> dict[str, Any]:
        """The numbers, for other programs."""
        return {"what": self.what, "passes": self.passes, "memory": self.memory, "seconds": self.seconds}


class _Enough(BaseException):  # none that the work itself would catch
    """Enough steps were measured."""


class FirstSteps(NamedTuple):
    """What some steps took.

    Attributes:
        first: seconds until the first one was done.
        later: seconds of a later one.
        memory: the most bytes that tensors held at a time, which were made by the steps that warm up or before.
    """

    first: float
    later: float
    memory: int


def first_steps(work: Callable[[Callable[[], None]], Any]) -> FirstSteps:
    """Do the first steps of work, and stop it after a few.

    Args:
        work: calls what it is given after each step.
    """
    from .footprint import Footprint  # pages are drawn without torch

    marks = [time.perf_counter()]
    with suppress(_Enough), ExitStack() as weighing:
        held = weighing.enter_context(Footprint())

        def stepped() -> None:
            marks.append(time.perf_counter())
            if len(marks) > WARM:
                weighing.close()
            if len(marks) > 1 + WARM + TIMED:
                raise _Enough

        work(stepped)
    first, later = marks[1] - marks[0], len(marks) - 2
    warm = min(WARM, later - 1)
    each = (marks[-1] - marks[1 + warm]) / (later - warm) if later else first
    return FirstSteps(first, each, held.most)
