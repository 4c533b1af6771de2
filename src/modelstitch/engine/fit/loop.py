"""The loop: one bottom forward feeds every stream of a sweep; each takes its own steps through its own top.

A stopped run goes on from the state that it left.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...data.batch import Batch
from ...errors import FitError, first_line
from ...support.resume import Unfinished
from ..evaluate import autocast
from ..senders import open_quick, open_whole, view_of
from ..sweep import Stream, Sweep, derive, shuffle
from .looks import Looking
from .memory import Replay, Samples
from .normalisation import fitting
from .objectives import BELOW, Objective, Wanted, stages
from .run import Run


def train(
    streams: Sequence[Stream],
    sweep: Sweep,
    unfinished: Unfinished | None = None,
    state: dict[str, Any] | None = None,
    *,
    stays: bool = False,
) -> None:
    """Refine every stream whose objective is not ``match``; the state with the best validation error is kept.

    A stream whose loss or validation outputs stop being finite keeps its best state and says so; one that gives no
    finite output even before the first step has failed; the others go on. In a shuffled sweep every sample gets another
    sample's label and genuine activations.

    Args:
        unfinished: where the state is left now and then.
        state: what a stopped run of the same fit left there.
        stays: leave the state there at the end, too.
    """
    earlier = TakenUp(state, streams, sweep)
    sweep.done(earlier.at.stage * sweep.spec.steps)
    task = sweep.data.task
    planned = {id(s): stages(s.objective, sweep.top, s.top_layer, sweep.spec, sweep.own, task) for s in streams}
    active = [s for s in streams if planned[id(s)] and not s.failed]
    end = max((len(planned[id(s)]) for s in active), default=0)
    ended = earlier.at.stage >= end
    for stage in range(earlier.at.stage, end):
        runs = _runs([(s, planned[id(s)][stage]) for s in active if stage < len(planned[id(s)])], sweep)
        at = earlier.at if earlier else Position(stage)
        earlier.put(runs)

        def note(at: Position, runs: list[Run] = runs) -> None:
            if unfinished is not None and unfinished.due:
                keep(unfinished, at, streams, runs, sweep)

        try:
            _stage(runs, replace(sweep, seed=derive(sweep.seed, "stage", str(stage))), at, note)
        finally:
            for run in runs:
                run.close()
    earlier.put([])  # where no stream has that stage
    if stays and unfinished is not None and not ended:
        keep(unfinished, Position(end), streams, (), sweep)


def _runs(streams: Sequence[tuple[Stream, Objective]], sweep: Sweep) -> list[Run]:
    """The runs of a stage: of the streams that have not failed."""
    pool = torch.cuda.graph_pool_handle() if sweep.device.type == "cuda" else None
    return [Run(stream, objective, sweep, pool) for stream, objective in streams if not stream.failed]


def _stage(runs: list[Run], sweep: Sweep, at: Position, note: Callable[[Position], None]) -> None:
    """One stage from a place in it on; ``note`` hears of every place that is reached."""
    feed, spec = _Feed(runs, sweep), sweep.spec
    if at.step == 0:
        _look(runs, 0, feed.looking)
        _set_rates(runs, feed.looking)
    else:
        feed.catch_up(at.step)
        sweep.done(at.step)
    # Statistics of the bottom that move do so to the end, also where a run has diverged: others beside it would go on.
    moving = bool(runs) and sweep.normalisation == "batch" and bool(sweep.sender.norms)
    for place, batch in _steps(sweep, at):
        if not moving and not any(run.open for run in runs):
            break
        feed.narrow(runs)
        at, below = place, feed.below(batch)
        inputs, mask, wanted = feed.above(batch)
        for run in runs:
            if run.open:
                run.step(below[run.stream.bottom_layer], inputs, mask, wanted, at.step)
        if at.step % spec.eval_every == 0 or at.step == spec.steps:
            _look([run for run in runs if run.open], at.step, feed.looking)
        note(at)
        sweep.done(1)
    feed.end(runs)
    sweep.done(spec.steps - at.step)


def _steps(sweep: Sweep, at: Position) -> Iterator[tuple[Position, Batch]]:
    """The steps that are left of a stage, pass after pass over the fit split: where each leads to, and its batch."""
    step, began = at.step, at.began
    while step < sweep.spec.steps:
        for number, batch in enumerate(sweep.batches(str(began)), began):
            if number < step:
                continue  # a stopped run has had it
            if step == sweep.spec.steps:
                return
            step += 1
            yield replace(at, step=step, began=began), batch
        began = step


def _set_rates(runs: list[Run], looking: Looking) -> None:
    """Adapt the rates of runs that ask for it to what their starts have lost."""
    adapting = [run for run in runs if run.open and run.adapts]
    if adapting:
        own, chance = looking.own_error()
        for run in adapting:
            run.set_pace(own, chance)


class _Feed:
    """What the runs of a stage are given of a batch: one bottom forward, and one of the top where it is looked at.

    Attributes:
        looking: what the runs are looked at on.
    """

    def __init__(self, runs: list[Run], sweep: Sweep) -> None:
        device, spec = sweep.device, sweep.spec
        self.sweep, objectives = sweep, [run.objective for run in runs]
        self._layers = _bottom_layers(runs)
        looking = self._send = fresh = open_quick(sweep.sender, self._layers, device)
        if sweep.normalisation != "batch":  # statistics that move give other activations every time
            looking = Replay(fresh, sweep.spare)
            if spec.cache and not (spec.augment and sweep.data.augment is not None):
                self._send = Samples(fresh, sweep.data.size("fit"), int(spec.cache * 1e9))
        self.looking = Looking(sweep, looking)
        later = tuple(dict.fromkeys(name for objective in objectives for name in objective.later))
        genuine = any(objective.genuine for objective in objectives)
        self._genuine = sweep.top.taps(later, output=True).to(device) if genuine else None
        self._whole = open_whole(sweep.sender, device) if any(objective.below for objective in objectives) else None

    def narrow(self, runs: list[Run]) -> None:
        """Run the bottom no further than runs that are open need; not where it is to move on, or is kept."""
        needed = _bottom_layers([run for run in runs if run.open])
        if needed and needed != self._layers and not self.sweep.sender.norms and not isinstance(self._send, Samples):
            self._layers, self._send = needed, open_quick(self.sweep.sender, needed, self.sweep.device)

    def below(self, batch: Batch) -> dict[str, Tensor]:
        """The bottom's activations."""
        with autocast(self.sweep), fitting(self.sweep.sender.norms, self.sweep):
            return self._send(batch)

    def above(self, batch: Batch) -> tuple[Any, Tensor | None, Wanted]:
        """The top's inputs, the mask of padded sequences, and what the stitched values are held against."""
        top, device = self.sweep.top, self.sweep.device
        inputs = view_of(top, batch, device)
        with torch.no_grad():
            values: dict[str, Tensor] = {} if self._genuine is None else self._genuine(inputs)
            if self._whole is not None:
                values[BELOW] = self._whole(batch)
        self.sweep.data.task.check_range(batch.labels, top.output_shape)
        mask = None if batch.mask is None else batch.mask.to(device)
        wanted = Wanted(values, batch.labels.to(device), mask)
        if self.sweep.shuffled:
            wanted = wanted.reordered(shuffle(len(batch), batch, self.sweep.seed).to(device))
        return inputs, mask, wanted

    def catch_up(self, steps: int) -> None:
        """Keep again what the first pass had kept: the last bits depend on a sample's neighbours."""
        if isinstance(self._send, Samples):
            with autocast(self.sweep):
                for batch in itertools.islice(self.sweep.batches("0"), steps):
                    self._send(batch)

    def end(self, runs: list[Run]) -> None:
        """Choose each run's state; note how far behind the top it is, and once for all stages what was not kept."""
        if self.looking.decides:
            for run in runs:
                run.give_up(self.looking.own)
        self.looking.choose(runs)
        said = self._send.note if isinstance(self._send, Samples) else ""
        for run in runs:
            if self.looking.decides:
                run.stream.behind = run.best[0] - self.looking.own.error
            if said and said not in run.stream.notes:
                run.stream.notes.append(said)


def _bottom_layers(runs: list[Run]) -> list[str]:
    return list(dict.fromkeys(run.stream.bottom_layer for run in runs))


def _look(runs: list[Run], step: int, looking: Looking) -> None:
    """Measure every open run on the validation split with one shared bottom forward."""
    for run, outcome in zip(runs, looking.outcomes(runs)):
        if outcome is None and step == 0:
            run.open = False
            run.stream.failed = (
                f"The stitch {run.stream} gives NaN or infinity before the first step: expected finite outputs; check "
                "the donors' weights, use float32 instead of half precision, or init='closed'."
            )
        else:
            run.look(step, outcome)
            if looking.decides:
                run.end_if_decided(looking.own)


_PLAIN = ("history", "stopped", "steps", "rate", "kept", "behind", "hopeless", "notes", "failed")


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
