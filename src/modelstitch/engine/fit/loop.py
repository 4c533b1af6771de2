"""The loop: one bottom forward feeds every stream of a sweep; each takes its own Adam steps through its own top."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...support.resume import Unfinished
from ..evaluate import autocast, outcomes, own_error
from ..measure import check_range
from ..senders import Send, open_quick, view_of
from ..streams import Stream
from ..sweep import Sweep, derive, shuffle
from .memory import Replay, Samples
from .normalisation import fitting
from .objectives import BELOW, Wanted, stages
from .run import Run
from .state import Position, TakenUp, keep


def train(
    streams: Sequence[Stream], sweep: Sweep, unfinished: Unfinished | None = None, state: dict[str, Any] | None = None
) -> None:
    """Refine every stream whose objective is not ``match``; the state with the best validation error is kept.

    A stream whose loss or validation outputs stop being finite keeps its best state and says so; one that gives no
    finite output even before the first step has failed; the others go on. In a shuffled sweep every sample gets another
    sample's label and genuine activations.

    Args:
        unfinished: where the state is left now and then.
        state: what a stopped run of the same fit left there.
    """
    earlier = TakenUp(state, streams, sweep)
    sweep.done(earlier.at.stage * sweep.spec.steps)
    planned = {id(s): stages(s.objective, sweep.top, s.top_layer, sweep.spec, sweep.own) for s in streams}
    active = [s for s in streams if planned[id(s)] and not s.failed]
    for stage in range(earlier.at.stage, max((len(planned[id(s)]) for s in active), default=0)):
        pool = torch.cuda.graph_pool_handle() if sweep.device.type == "cuda" else None
        runs = [
            Run(s, planned[id(s)][stage], sweep, pool) for s in active if stage < len(planned[id(s)]) and not s.failed
        ]
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


def _stage(runs: list[Run], sweep: Sweep, at: Position, note: Callable[[Position], None]) -> None:
    """One stage from a place in it on; ``note`` hears of every place that is reached."""
    top, device, spec = sweep.top, sweep.device, sweep.spec
    layers = [run.stream.bottom_layer for run in runs]
    send = fresh = open_quick(sweep.sender, layers, device)
    looking: Send = fresh
    if sweep.normalisation != "batch":  # statistics that move give other activations every time
        looking = Replay(fresh, sweep.spare)
        if spec.cache and not (spec.augment and sweep.data.augment is not None):
            send = Samples(fresh, sweep.data.size("fit"), int(spec.cache * 1e9))
    later = tuple(dict.fromkeys(name for run in runs for name in run.objective.later))
    genuine = top.taps(later, output=True).to(device) if any(run.objective.genuine for run in runs) else None
    whole = sweep.sender.whole(device) if any(run.objective.below for run in runs) else None
    step, began = at.step, at.began
    if isinstance(send, Samples) and step:
        with autocast(sweep):  # kept from the first pass again: the last bits depend on a sample's neighbours
            for batch in itertools.islice(sweep.batches("0"), step):
                send(batch)
    if step == 0:
        _look(runs, 0, sweep, looking)
        adapting = [run for run in runs if run.open and run.adapts]
        if adapting:
            own, chance = own_error(sweep)
            for run in adapting:
                run.set_pace(own, chance)
    else:
        sweep.done(step)
    # Statistics of the bottom that move do so to the end, also where a run has diverged: others beside it would go on.
    moving = bool(runs) and sweep.normalisation == "batch" and bool(sweep.sender.norms)
    while step < spec.steps and (moving or any(run.open for run in runs)):
        for number, batch in enumerate(sweep.batches(str(began)), began):
            if number < step:
                continue  # a stopped run has had it
            if step == spec.steps or not (moving or any(run.open for run in runs)):
                break
            step += 1
            with autocast(sweep), fitting(sweep.sender.norms, sweep):
                below = send(batch)
            inputs = view_of(top, batch, device)
            with torch.no_grad():
                values: dict[str, Tensor] = genuine(inputs) if genuine is not None else {}
                if whole is not None:
                    values[BELOW] = whole(batch)
            check_range(batch.labels, top.output_shape[-1])
            labels = batch.labels.to(device)
            mask = None if batch.mask is None else batch.mask.to(device)
            wanted = Wanted(values, labels, mask)
            if sweep.shuffled:
                wanted = wanted.reordered(shuffle(len(batch), batch, sweep.seed).to(device))
            for run in runs:
                if run.open:
                    run.step(below[run.stream.bottom_layer], inputs, mask, wanted, step)
            if step % spec.eval_every == 0 or step == spec.steps:
                _look([run for run in runs if run.open], step, sweep, looking)
            note(replace(at, step=step, began=began))
            sweep.done(1)
        began = step
    if isinstance(send, Samples) and send.note:
        for run in runs:
            if send.note not in run.stream.notes:  # an earlier stage has said it
                run.stream.notes.append(send.note)
    sweep.done(spec.steps - step)


def _look(runs: list[Run], step: int, sweep: Sweep, send: Send) -> None:
    """Measure every open run on the validation split with one shared bottom forward."""
    for run in runs:
        run.stitcher.eval()
    found = outcomes([run.stream for run in runs], sweep, "val", send)
    for run, outcome in zip(runs, found):
        if outcome is None and step == 0:
            run.open = False
            run.stream.failed = (
                f"The stitch {run.stream} gives NaN or infinity before the first step: expected finite outputs; check "
                "the donors' weights, use float32 instead of half precision, or init='closed'."
            )
        else:
            run.look(step, outcome)
        run.stitcher.train()
