"""The state of a sweep's fitting as plain values and tensors, and back: a stopped run goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import FitError, first_line
from ...support.resume import Unfinished
from ..streams import Stream
from ..sweep import Sweep
from .run import Run

_PLAIN = ("history", "stopped", "steps", "rate", "notes", "failed")


@dataclass(frozen=True)
class Position:
    """How far fitting is: the stage, its steps done, and at which of them the present pass over the data began."""

    stage: int = 0
    step: int = 0
    began: int = 0


def keep(unfinished: Unfinished, at: Position, streams: Sequence[Stream], runs: Sequence[Run], sweep: Sweep) -> None:
    """Write down a sweep between two steps of its stage, every stream under its key."""
    running = {id(run.stream) for run in runs}
    unfinished.write(
        {
            "at": [at.stage, at.step, at.began],
            "batch size": sweep.spec.batch_size,
            "streams": {
                stream.key: {
                    **{name: getattr(stream, name) for name in _PLAIN},
                    "norms": {name: norm.state_dict() for name, norm in stream.norms.items()},
                    # One that runs has coordinates of its own for a while: those are the run's.
                    "stitcher": None
                    if id(stream) in running or stream.stitcher is None
                    else stream.stitcher.state_dict(),
                }
                for stream in streams
            },
            "runs": {run.stream.key: run.state_dict() for run in runs},
            "sender": {name: norm.state_dict() for name, norm in sweep.sender.norms.items()},
            "random": [device.get_rng_state() for device in _generators(sweep)],
        }
    )


class TakenUp:
    """What a stopped run left of these streams, which are as they were before its first step.

    Args:
        state: what ``keep`` wrote; not taken up where it lacks one of the streams, or was made in batches of
            another size.

    Attributes:
        at: where it was; the start where nothing is taken up.
    """

    def __init__(self, state: dict[str, Any] | None, streams: Sequence[Stream], sweep: Sweep) -> None:
        self._streams, self._sweep = streams, sweep
        self._state = state if state is not None and fits(state, [s.key for s in streams], sweep) else None
        self.at = Position() if self._state is None else Position(*self._state["at"])
        if self._state is not None:
            for stream in streams:
                kept = self._state["streams"][stream.key]
                if (
                    kept["stitcher"] is not None
                ):  # it takes no part in this stage, and may have failed in an earlier one
                    stream.failed = kept["failed"]

    def __bool__(self) -> bool:
        return self._state is not None

    def put(self, runs: Sequence[Run]) -> None:
        """Put the state, once, into the streams and into the runs of the stage that it was in.

        Raises:
            FitError: if it is of other stitchers.
        """
        state, self._state = self._state, None
        if state is None:
            return
        try:
            for run in runs:
                run.load_state_dict(state["runs"][run.stream.key])
            for stream in self._streams:
                kept = state["streams"][stream.key]
                for name in _PLAIN:
                    setattr(stream, name, kept[name])
                for name, norm in stream.norms.items():
                    norm.load_state_dict(kept["norms"][name])
                if kept["stitcher"] is not None and stream.stitcher is not None:
                    stream.stitcher.load_state_dict(kept["stitcher"])
            for name, norm in self._sweep.sender.norms.items():
                norm.load_state_dict(state["sender"][name])
        except (RuntimeError, KeyError) as error:
            raise FitError(
                f"The unfinished fit is of other stitchers ({first_line(error)}): expected what the same call left; "
                "delete the folder 'unfinished', and it is begun anew."
            ) from error
        for device, random in zip(_generators(self._sweep), state["random"]):
            device.set_rng_state(random)


def fits(state: dict[str, Any], keys: Sequence[str], sweep: Sweep) -> bool:
    """Whether a state holds these streams, in batches of the sweep's size."""
    return state["batch size"] == sweep.spec.batch_size and all(key in state["streams"] for key in keys)


def _generators(sweep: Sweep) -> list[Any]:
    """What has a global random state: a user's own loss or family may draw from it."""
    return [torch.random, *([torch.cuda] if sweep.device.type == "cuda" else [])]
