"""The loop: one bottom forward feeds every stream of a sweep; each takes its own Adam steps through its own top."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..moments import Moments
from ..network import Network
from ..sources.data import Data
from ..stitchers import Affine
from .closed import Tick, derive, fit_batches, shuffle
from .evaluate import outcomes
from .objectives import Objective, stages
from .options import FitSpec
from .senders import Sender, view_of
from .streams import Stream
from .whiten import WhitenedAffine


def train(
    streams: Sequence[Stream],
    moments: dict[tuple[str, str], Moments],
    sender: Sender,
    top: Network,
    data: Data,
    spec: FitSpec,
    *,
    seed: int,
    device: torch.device,
    shuffled: bool = False,
    tick: Tick | None = None,
) -> None:
    """Refine every stream whose objective is not ``match``; the state with the best validation error is kept.

    A stream whose loss stops being finite keeps its best state and says so; the others go on. ``shuffled`` gives every
    sample another sample's label. ``tick`` hears of each step of the sweep.
    """
    planned = {id(s): stages(s.objective, top, s.top_layer, spec) for s in streams}
    active = [s for s in streams if planned[id(s)]]
    for stage in range(max((len(planned[id(s)]) for s in active), default=0)):
        runs = [
            _Run(s, planned[id(s)][stage], spec, moments.get((s.bottom_layer, s.top_layer)))
            for s in active
            if stage < len(planned[id(s)])
        ]
        _stage(runs, sender, top, data, spec, derive(seed, "stage", str(stage)), device, shuffled, tick)
        for run in runs:
            run.close()


def _stage(
    runs: list[_Run],
    sender: Sender,
    top: Network,
    data: Data,
    spec: FitSpec,
    seed: int,
    device: torch.device,
    shuffled: bool,
    tick: Tick | None,
) -> None:
    send = sender.open([run.stream.bottom_layer for run in runs], device)
    later = tuple(dict.fromkeys(name for run in runs for name in run.objective.later))
    genuine = top.taps(later, output=True).to(device) if any(run.objective.genuine for run in runs) else None
    _look(runs, 0, sender, top, data, spec, device)
    step = 0
    while step < spec.steps and any(run.open for run in runs):
        for batch in fit_batches(data, spec, seed=derive(seed, str(step))):
            if step == spec.steps or not any(run.open for run in runs):
                break
            step += 1
            below = send(batch)
            inputs = view_of(top, batch, device)
            with torch.no_grad():
                values: dict[str, Tensor] = genuine(inputs) if genuine is not None else {}
            labels = batch.labels.to(device)
            if shuffled:
                labels = labels[shuffle(len(batch), batch, seed).to(device)]
            for run in runs:
                if run.open:
                    run.step(below[run.stream.bottom_layer], inputs, values, labels, step)
            if step % spec.eval_every == 0 or step == spec.steps:
                _look([run for run in runs if run.open], step, sender, top, data, spec, device)
            if tick:
                tick(1)
    if tick and step < spec.steps:
        tick(spec.steps - step)


def _look(
    runs: list[_Run], step: int, sender: Sender, top: Network, data: Data, spec: FitSpec, device: torch.device
) -> None:
    """Measure every open run on the validation split with one shared bottom forward."""
    for run in runs:
        run.stitcher.eval()
    found = outcomes([run.stream for run in runs], sender, top, data, "val", spec, device)
    for run, outcome in zip(runs, found):
        run.look(step, outcome.error, outcome.loss)
        run.stitcher.train()


class _Run:
    """One stream in one stage: its optimiser, its best state, and whether it is still going."""

    def __init__(self, stream: Stream, objective: Objective, spec: FitSpec, moments: Moments | None) -> None:
        assert stream.stitcher is not None
        self.stream, self.objective, self.spec = stream, objective, spec
        self.whitened = spec.whiten and isinstance(stream.stitcher, Affine) and moments is not None
        if self.whitened:
            assert moments is not None
            assert isinstance(stream.stitcher, Affine)
            device = stream.stitcher.weight.device
            stream.stitcher = WhitenedAffine(stream.stitcher, moments).to(device)
        self.stitcher: nn.Module = stream.stitcher
        rate = spec.learning_rate * (1.0 if self.whitened or stream.family.normalised else 0.1)
        self.optimiser = torch.optim.Adam(self.stitcher.parameters(), lr=rate, weight_decay=spec.weight_decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda at: 0.5 * (1 + math.cos(math.pi * min(1.0, at / spec.steps)))
        )
        self.best: tuple[float, float] = (math.inf, math.inf)
        self.best_state: dict[str, Any] = {}
        self.best_step = 0
        self.stale = 0
        self.open = True

    def step(self, activation: Tensor, inputs: Any, genuine: dict[str, Tensor], labels: Tensor, step: int) -> None:
        with torch.autocast(activation.device.type, torch.bfloat16, enabled=self.spec.precision == "bfloat16"):
            _, values = self.stream.forward(activation, inputs)
            loss = self.objective.loss(values, genuine, labels)
        if not bool(torch.isfinite(loss)):
            self.open = False
            self.stream.stopped = f"diverged at step {step}"
            self.stream.notes.append(
                f"{self.objective.name} fitting diverged at step {step}; the state of step {self.best_step} is kept"
            )
            return
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()

    def look(self, step: int, error: float, loss: float) -> None:
        self.stream.history.append((step, error, loss))
        if (error, loss) < self.best:
            self.best, self.best_step, self.stale = (error, loss), step, 0
            self.best_state = copy.deepcopy(self.stitcher.state_dict())
        else:
            self.stale += 1
        if self.stale > self.spec.patience:
            self.open = False
            self.stream.stopped = f"no better validation error in {self.spec.patience} looks"
        elif step == self.spec.steps:
            self.open = False
            self.stream.stopped = "all steps done"

    def close(self) -> None:
        """Put the best state back, and leave an ordinary frozen stitcher behind."""
        if self.best_state:
            self.stitcher.load_state_dict(self.best_state)
        if isinstance(self.stitcher, WhitenedAffine):
            self.stream.stitcher = self.stitcher.plain()
        assert self.stream.stitcher is not None
        self.stream.stitcher.eval()
        self.stream.steps += self.best_step
