"""The state of a sweep's fitting as plain values and tensors, and back: a stopped run goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import FitError
from ..unfinished import Unfinished
from .run import Run
from .streams import Stream
from .sweep import Sweep

_PLAIN = ("history", "stopped", "steps", "rate", "notes", "failed")


@dataclass(frozen=True)
class Place:
    """How far fitting is: the stage, its steps done, and at which of them the present pass over the data began."""

    stage: int = 0
    step: int = 0
    began: int = 0


def keep(unfinished: Unfinished, at: Place, streams: Sequence[Stream], runs: Sequence[Run], sweep: Sweep) -> None:
    """Write down a sweep between two steps of its stage."""
    running = {id(run.stream) for run in runs}
    unfinished.write(
        {
            "at": [at.stage, at.step, at.began],
            "streams": [
                {
                    **{name: getattr(stream, name) for name in _PLAIN},
                    "norms": {name: norm.state_dict() for name, norm in stream.norms.items()},
                    # One that runs has coordinates of its own for a while: those are the run's.
                    "stitcher": None
                    if id(stream) in running or stream.stitcher is None
                    else stream.stitcher.state_dict(),
                }
                for stream in streams
            ],
            "runs": [run.state_dict() for run in runs],
            "sender": {name: norm.state_dict() for name, norm in sweep.sender.norms.items()},
        }
    )


class TakenUp:
    """What a stopped run left of these streams, which are as they were before its first step; nothing, if there was none.

    Attributes:
        at: where it was.
    """

    def __init__(self, unfinished: Unfinished | None, streams: Sequence[Stream], sweep: Sweep) -> None:
        self._state = None if unfinished is None else unfinished.read()
        self._streams, self._sweep, self._unfinished = streams, sweep, unfinished
        self.at = Place() if self._state is None else Place(*self._state["at"])
        if self._state is not None:
            for stream, kept in zip(streams, self._state["streams"]):
                if (
                    kept["stitcher"] is not None
                ):  # it takes no part in this stage, and may have failed in an earlier one
                    stream.failed = kept["failed"]

    def __bool__(self) -> bool:
        return self._state is not None

    def put(self, runs: Sequence[Run]) -> None:
        """Put the state into the streams, and into the runs of the stage that it was in.

        Raises:
            FitError: if it is of other streams.
        """
        state, self._state = self._state, None
        if state is None:
            return
        try:
            for run, kept in zip(runs, state["runs"], strict=True):
                run.load_state_dict(kept)
            for stream, kept in zip(self._streams, state["streams"], strict=True):
                for name in _PLAIN:
                    setattr(stream, name, kept[name])
                for name, norm in stream.norms.items():
                    norm.load_state_dict(kept["norms"][name])
                if kept["stitcher"] is not None and stream.stitcher is not None:
                    stream.stitcher.load_state_dict(kept["stitcher"])
            for name, norm in self._sweep.sender.norms.items():
                norm.load_state_dict(state["sender"][name])
        except (RuntimeError, KeyError, ValueError) as error:
            assert self._unfinished is not None
            raise FitError(
                f"The unfinished fit in {self._unfinished.path} is of other stitchers ({str(error).splitlines()[0]}): "
                "expected one that this version left; delete the file, and it is begun anew."
            ) from error
