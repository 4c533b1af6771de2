"""One stream in one stage of fitting: its optimiser, its best state, and whether it is still going."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import NonFiniteError
from ...support.fast.cuda_graphs import Recorded, record
from ..evaluate import autocast
from ..measure import Outcome
from ..sweep import Stream, Sweep
from .normalisation import fitting
from .objectives import Objective, Wanted
from .rivals import SURE, Looked, columns, difference, hope, joined, leads, least, means, undecided
from .whiten import WHITENED, Whitened, by_muon

# Times the penalty that is called far off. Starts of class-noise differ up to fivefold: of five at one layer the first
# was 11 points off and the best 2; but where one was 30 points off, none came nearer than 11.
BEYOND = 3.0
MUON = 2.5  # times ``learning_rate``: how far the first step moves each output, of variance 1
FALLS = 10  # steps until that rate begins to fall
BOOST = 16.0  # times that rate where the start knows nothing of what the top knows
LEAN = 1  # the mean of the states weighs that of step t by t to this power
_LOST = 10.0  # times the best loss and one nat
_KEPT = ("best", "best_state", "best_step", "stale", "open", "last_loss", "_pace", "_earlier", "_seen", "_recent")


class Run:
    """The steps of one stream; the state with the best validation error is kept.

    Whitened maps take Muon's steps, at a rate that falls like one over the root of the steps; what is looked at and
    kept is the mean of their states, which leans to the recent ones. Everything else takes Adam's, with a cosine. A
    whitened rate depends on how far off the start is (``adapts``). On a GPU a step of a built-in objective is recorded
    once and replayed; ``pool`` is the memory that runs share for it.
    """

    def __init__(self, stream: Stream, objective: Objective, sweep: Sweep, pool: Any = None) -> None:
        assert stream.stitcher is not None
        self.stream, self.objective, self.sweep = stream, objective, sweep
        spec = sweep.spec
        if spec.whiten and isinstance(stream.stitcher, WHITENED) and stream.moments is not None:
            device = stream.stitcher.weight.device
            stream.stitcher = Whitened(stream.stitcher, stream.moments).to(device)
        self.stitcher: nn.Module = stream.stitcher
        rate = spec.learning_rate * (1.0 if stream.family.normalised else 0.1)
        if isinstance(self.stitcher, Whitened):
            rate = spec.learning_rate * self.stitcher.pace
        self.mean: nn.Module | None = None  # of the states so far, where that is what counts
        self.optimiser: torch.optim.Optimizer
        if isinstance(self.stitcher, Whitened) and by_muon(spec, stream.family, sweep.normalisation):
            rate = MUON * spec.learning_rate / self.stitcher.width
            self.mean = self.stitcher.twin().requires_grad_(False)
            self.optimiser = torch.optim.Muon(
                self.stitcher.parameters(), lr=rate, weight_decay=spec.weight_decay, momentum=0.9, nesterov=False
            )
        else:
            self.optimiser = torch.optim.Adam(
                self.stitcher.parameters(), lr=rate, weight_decay=spec.weight_decay, fused=sweep.device.type == "cuda"
            )
        self._pace = 1.0
        fallen = cosine if self.mean is None else root
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda at: self._pace * fallen(at, spec.steps)
        )
        self.adapts = spec.adapt_rate and isinstance(self.stitcher, Whitened)
        stream.rate = rate
        self.chooses = sweep.normalisation != "batch"
        self._seen: dict[str, Looked] = {}  # the "best" and the "last" state on the samples of a look
        self._recent: list[tuple[int, Looked]] = []  # the last three looks, and after how many steps
        self.best: tuple[float, float] = (math.inf, math.inf)
        self.best_state: list[dict[str, Any]] = []
        self.best_step = 0
        self.stale = 0
        self.open = True
        self.last_loss = math.nan
        self._pool = pool
        self._recorded: Recorded | None = None
        # The user's own losses may decide by values, and inputs of a tail may be of any kind: those run step by step.
        self._recordable = (
            sweep.device.type == "cuda"
            and sweep.normalisation == "frozen"
            and not stream.tail.needs_input
            and objective.name not in sweep.own
            and (objective.name != "task" or sweep.data.task.recordable)
        )
        self._earlier = len(stream.history)

    def set_pace(self, own: float, chance: float) -> None:
        """Adapt the rate to the error of the start, which has been looked at, beside the top's own and chance."""
        self._pace = (pace if self.mean is None else boost)(self.stream.history[-1][1], own, chance)
        for group in self.optimiser.param_groups:
            group["lr"] *= self._pace
            self.stream.rate = group["lr"]

    def step(self, activation: Tensor, inputs: Any, mask: Tensor | None, wanted: Wanted, step: int) -> None:
        """One step on one batch; ``mask`` marks the tokens of padded sequences."""
        try:
            loss = self._gradients(activation, inputs, mask, wanted)
        except NonFiniteError:  # statistics of a stitched batch
            self._diverged(step)
            return
        waits = loss.is_cuda and step % self.sweep.spec.eval_every  # a GPU is not held up to be asked at every step
        if not waits:
            self.last_loss = float(loss)
            if not math.isfinite(self.last_loss):
                self._diverged(step)
                return
        self.optimiser.step()
        self.schedule.step()
        if self.mean is not None:
            with torch.no_grad():
                for mean, now in zip(self.mean.parameters(), self.stitcher.parameters(), strict=True):
                    mean.lerp_(now, min(1.0, (1 + LEAN) / (step + LEAN)))

    @property
    def looked(self) -> nn.Module:
        """The state that counts."""
        return self.stitcher if self.mean is None else self.mean

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Within, the stream's stitcher is the state that counts, as it is when it is measured."""
        self.stream.stitcher = self.looked.eval()
        try:
            yield
        finally:
            self.stream.stitcher = self.stitcher.train()

    def _gradients(self, activation: Tensor, inputs: Any, mask: Tensor | None, wanted: Wanted) -> Tensor:
        """The loss, detached; the gradients are put in place."""
        if self._recordable and mask is None:
            names = sorted(wanted.values)
            given = (activation, wanted.labels, *(wanted.values[name] for name in names))

            def loss_of(below: Tensor, labels: Tensor, *genuine: Tensor) -> Tensor:
                _, values = self.stream.forward(below, None)
                return self.objective.loss(values, Wanted(dict(zip(names, genuine)), labels, None))

            full = min(self.sweep.spec.batch_size, self.sweep.data.size("fit"))
            if self._recorded is None and len(wanted.labels) == full:  # the last batch of a pass may be shorter
                parts = [self.stitcher]
                self._recorded = record(loss_of, given, parts, lambda: autocast(self.sweep, cache=False), self._pool)
                self._recordable = self._recorded is not None
            if self._recorded is not None and self._recorded.takes(given):
                return self._recorded(*given)
        with autocast(self.sweep), fitting(self.stream.norms, self.sweep):
            _, values = self.stream.forward(activation, inputs, mask)
            loss = self.objective.loss(values, wanted)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def look(self, step: int, outcome: Outcome | None) -> None:
        """Take note of the outcome on the validation split; None stands for outputs that are not finite."""
        if outcome is None:
            self._diverged(step)
            return
        seen = (outcome.error, outcome.loss)
        self.stream.history.append((step, *seen))
        if self.sweep.watch:
            values = {"val/error": seen[0], "val/loss": seen[1]}
            if step:
                values["fit/loss"] = self.last_loss
            self.sweep.watch(self.stream.key, step, values)
        self._note(step, seen)
        if self.chooses:
            self._seen["last"] = columns(outcome)
            if self.best_step == step:
                self._seen = {"best": self._seen["last"]}
            self._recent = [*self._recent[-2:], (step, columns(outcome))]
        if self.chooses and self.stale > self.sweep.spec.patience:
            self.open = False
            self.stream.stopped = f"no better validation error in {self.stale} looks"
        elif step == self.sweep.spec.steps:
            self.open = False
            self.stream.stopped = "all steps done"
        elif self._done:
            self.open = False
            self.stream.stopped = f"done after {step} steps: those left would gain less than ten thousand samples tell"

    def _note(self, step: int, seen: tuple[float, float]) -> None:
        """Keep the state if it is the best one so far; of a mean a lower loss is enough to go on."""
        better = seen < self.best or not self.chooses
        if better:
            self.best, self.best_step, self.best_state = seen, step, self._state()
        earlier = [loss for _, _, loss in self.stream.history[self._earlier : -1]]
        gains = better or (self.mean is not None and seen[1] < min(earlier))
        self.stale = 0 if gains else self.stale + 1

    @property
    def _done(self) -> bool:
        """Whether the steps that are left are not worth taking."""
        looks = self._last(3)
        if not (self._may_end and looks):
            return False
        (since, before), (now, last) = looks[0], looks[-1]
        by = "errors" if self.mean is None else "losses"
        return hope(self._seen["best"], before, last, self._share(since, now), self._looks, by) <= 1.0

    def _last(self, number: int) -> list[tuple[int, Looked]]:
        """The last looks, if there are so many; of a mean not from the start, which is no part of how it falls."""
        looks = self._recent[-number:]
        return looks if len(looks) == number and (self.mean is None or looks[0][0]) else []

    @property
    def _may_end(self) -> bool:
        """Whether looks may end the fit before its steps are done; cells of fits that they may have another name."""
        spec = self.sweep.spec
        return self.chooses and spec.stop_early and spec.steps > 2 * spec.eval_every

    @property
    def _looks(self) -> int:
        """How often a fit is looked at that takes all its steps."""
        return 1 + math.ceil(self.sweep.spec.steps / self.sweep.spec.eval_every)

    def _share(self, since: int, now: int) -> float:
        """What the steps left may gain, over what was gained since an earlier step; of Adam as its rate falls."""
        left_at = cosine_left if self.mean is None else mean_left
        left, had = (left_at(at, self.sweep.spec.steps) for at in (now, since))
        return left / (had - left)

    def end_if_decided(self, own: Outcome) -> None:
        """End the fit of a control whose looks say already what the control is for, however it goes on.

        Args:
            own: what the top does alone on the samples of a look.
        """
        looks = self._last(2 if self.mean is None else 3)
        if self.sweep.enough is None or not self._may_end or not self.open or not looks:
            return
        far, open_ = self.sweep.enough
        (since, before), (now, last) = looks[0], looks[-1]
        worse, most = least(columns(own), before, last, self._share(since, now), self._looks)
        if worse > far and most <= open_ * worse:
            self.open = False
            self.stream.stopped = (
                f"decided after {now} steps: its penalty stays beyond {far:g}, and is at most what is said"
            )

    def give_up(self, own: Outcome) -> None:
        """Note whether the best state errs by so much more than the top that another start is not worth its fit.

        Args:
            own: what the top does alone on the samples of a look.
        """
        if self.sweep.enough is not None and "best" in self._seen:
            worse, error = difference(self._seen["best"], columns(own))
            self.stream.hopeless = worse - SURE * error > BEYOND * self.sweep.enough[0]

    @property
    def _still(self) -> bool:
        """Whether the last state is a mean, or was reached at a rate near nothing, and not by losing patience."""
        spec = self.sweep.spec
        fallen = cosine(self.stream.history[-1][0], spec.steps)
        return self.mean is not None or (self.stale <= spec.patience and fallen <= STILL)

    @property
    def undecided(self) -> bool:
        """Whether the samples that were looked at leave open which of the best state and the last one errs less."""
        return len(self._seen) == 2 and undecided(self._seen["best"], self._seen["last"], still=self._still)

    def swap(self) -> None:
        """Put the best state where the last one is, and the other way round."""
        state = self._state()
        self._put(self.best_state)
        self.best_state = state

    def compare(self, best: Outcome | None, last: Outcome | None) -> None:
        """Take note of both states on more samples; one that gives NaN or infinity there is out."""
        found = {"best": best, "last": last}
        self._seen = {name: joined(self._seen[name], columns(o)) for name, o in found.items() if o is not None}

    def decide(self, size: int) -> None:
        """Keep the last state unless the best one leads on the samples that both were looked at on, of ``size``."""
        last, best = (self._seen.get(name) for name in ("last", "best"))
        if last is not None and (
            best is None or not leads(best, last, still=self._still and len(last["errors"]) < size)
        ):
            self.best, self.best_step = means(last), self.stream.history[-1][0]
            self.best_state = self._state()
        self._seen = {}

    def close(self) -> None:
        """Put the best state back, and leave an ordinary frozen stitcher behind."""
        self._put(self.best_state)
        if isinstance(self.looked, Whitened):
            self.stream.stitcher = self.looked.plain()
        assert self.stream.stitcher is not None
        self.stream.stitcher.eval()
        self.stream.steps += self.best_step
        self.stream.kept = self.best
        self._say_if_lost()

    def state_dict(self) -> dict[str, Any]:
        """What the steps so far have left."""
        return {
            **{name: getattr(self, name) for name in _KEPT},
            "stitcher": self.stitcher.state_dict(),
            "mean": None if self.mean is None else self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` gave.

        Raises:
            RuntimeError, KeyError: if it is of another stitcher.
        """
        for name in _KEPT:
            setattr(self, name, state[name])
        self.stitcher.load_state_dict(state["stitcher"])
        self.stitcher.train()
        if self.mean is not None:
            self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])

    def _parts(self) -> list[nn.Module]:
        return [self.looked, *self.stream.norms.values()]

    def _state(self) -> list[dict[str, Any]]:
        return [copy.deepcopy(part.state_dict()) for part in self._parts()]

    def _put(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts(), states):
            part.load_state_dict(state)

    def _say_if_lost(self) -> None:
        """Steps that are finite but far too large should not pass in silence."""
        losses = [loss for _, _, loss in self.stream.history[self._earlier :]]
        if losses and losses[-1] > _LOST * (1 + min(losses)):
            self.stream.notes.append(
                f"{self.objective.name} fitting of {self.stream} ended with a validation loss of {losses[-1]:.3g}, "
                f"{min(losses):.3g} at best; the state of step {self.best_step} is kept; try a smaller learning_rate"
            )

    def _diverged(self, step: int) -> None:
        self.open = False
        self._seen.pop("last", None)  # the state has moved on since
        self.stream.stopped = f"diverged at step {step}"
        self.stream.notes.append(
            f"{self.objective.name} fitting of {self.stream} diverged at step {step}; the state of step "
            f"{self.best_step} is kept; try a smaller learning_rate"
        )


def cosine(at: int, steps: int) -> float:
    """What is left of the rate after so many of the steps."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, at / steps)))


def cosine_left(at: int, steps: int) -> float:
    """The rate over all steps that come after so many of them, as a share of all steps: the integral of ``cosine``."""
    share = at / steps
    return 0.5 * (1 - share - math.sin(math.pi * share) / math.pi)


def root(at: int, steps: int) -> float:
    """As ``cosine``, of a rate that falls like one over the root of the steps, however many there are."""
    return 1 / math.sqrt(1 + at / FALLS)


def mean_left(at: int, steps: int) -> float:
    """What the mean of the states may still gain after so many steps, in any unit: it falls like one over them."""
    return 1 / (at + FALLS) - 1 / (steps + FALLS)


LEAST = 0.25  # of the rate
STILL = 0.25  # of the rate: below, states stand still
FAR = 0.5  # of what the top knows: a start that has lost so much takes the full rate


def pace(error: float, own: float, chance: float) -> float:
    """What the rate is multiplied with: twice the share of the top's skill that the start has lost, from 1/4 to 1.

    A closed form that loses little is near the best map, and large steps only shake it; one that loses much, as of
    briefly trained networks, narrow layers or an untrained bottom, has far to go. docs/results/steps.md has what was
    measured.

    Args:
        error: of the start on the validation split.
        own: of the top alone there.
        chance: of answers drawn at random, or of one answer for all samples.
    """
    return min(1.0, max(LEAST, _lost(error, own, chance) / FAR))


def boost(error: float, own: float, chance: float) -> float:
    """The same of Muon's rate: sixteen times the square of the share that is lost, from 1 to 16."""
    return max(1.0, BOOST * min(1.0, _lost(error, own, chance)) ** 2)


def _lost(error: float, own: float, chance: float) -> float:
    return 1.0 if chance <= own else (error - own) / (chance - own)
