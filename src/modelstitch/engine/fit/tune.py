"""Training a stitch further, the map and as much around it as is asked for: always on a copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from torch import nn

from ...data.batch import Batch
from ...data.data import Data
from ...errors import FitError, NonFiniteError, StitchError, StudyError
from ...network import OUTPUT, Network
from ...support.mistakes import sentence
from ...support.progress import Tell
from ..evaluate import own_outcomes
from ..joined import Joined
from ..measure import Outcome
from ..senders import NetworkSender, view_of
from ..sweep import Sweep
from .objectives import Wanted, stages
from .options import FitSpec

STITCHER, ALL, AFTER = "stitcher", "all", "after:"
RATE = 1e-3  # of all that is free, where nothing else is said

M = TypeVar("M", bound=Joined)


def told_of(unfreeze: str) -> str:
    """What a record says of a tuned stitch."""
    return f"caution: tuned on the task with {unfreeze} unfrozen: no penalty of frozen networks"


def free(stitched: Joined, unfreeze: str, top: Network, name: str) -> int:
    """Let gradients reach what is to be trained, and nothing else.

    Args:
        stitched: a copy, whose numbers are its own.
        unfreeze: "stitcher", "after:LAYER" (besides, what the top computes behind that layer) or "all".
        top: the donor above.
        name: how a message calls the stitch.

    Returns:
        How many numbers are free.

    Raises:
        StitchError: there is nothing to train, or ``unfreeze`` is something else.
        UnknownLayerError, InexactCutError: the top cannot be cut at the layer.
    """
    if unfreeze == STITCHER:
        parts: list[nn.Parameter] = []
    elif unfreeze == ALL:
        parts = [*stitched.bottom.parameters(), *stitched.top.parameters()]
    elif unfreeze.startswith(AFTER):
        layer = unfreeze.removeprefix(AFTER)
        behind = {name for name, _ in top.top(top.cut(layer)).named_parameters()}
        parts = [weight for name, weight in stitched.top.named_parameters() if name in behind]
    else:
        raise StitchError(
            f"unfreeze={unfreeze!r} is unknown: expected 'stitcher', 'after:LAYER' with a layer of {top.name!r}, or "
            "'all'."
        )
    trained = [*stitched.stitcher.parameters(), *parts]
    for weight in trained:
        weight.requires_grad_(weight.is_floating_point())
    count: int = sum(weight.numel() for weight in trained)
    if not count:
        raise StitchError(
            f"There is nothing to train at {name}: the map has no parameters of its own; expected another "
            "family, or unfreeze='after:LAYER' or 'all'."
        )
    return count


def tuned(
    stitched: M,
    networks: tuple[Network, Network],
    data: Data,
    unfreeze: str,
    spec: FitSpec,
    *,
    seed: int,
    name: str,
    tell: Tell | None = None,
) -> tuple[M, list[tuple[int, float, float]]]:
    """Train a copy on the task; the state with the best validation error is kept, the start among them.

    Args:
        stitched: the model to start from.
        networks: its donors.
        data: to fit and to choose on.
        unfreeze: as for ``free``.
        spec: steps, rate and the like.
        seed: of the order of samples and their augmentation.
        name: how messages call it.
        tell: hears of the progress.

    Returns:
        The copy, and its history: (step, validation error, validation loss).

    Raises:
        FitError: the loss is not finite before the first step.
        StitchError: as ``free``, or the data do not fit.
    """
    low, high = networks
    model = copy.deepcopy(stitched)
    free(model, unfreeze, high, name)
    device = model.place
    sweep = Sweep(NetworkSender(high), high, data.for_top(high, device).on(device), spec, device, seed=seed)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=spec.learning_rate, weight_decay=spec.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: 0.5 * (1 + math.cos(math.pi * min(1.0, at / spec.steps)))
    )
    (objective,) = stages("task", high, high.cuts[0], spec, task=sweep.data.task)
    whole = high.full().to(device) if objective.genuine else None

    def answer(batch: Batch) -> torch.Tensor:
        found: torch.Tensor = model.through(view_of(low, batch, device), view_of(high, batch, device), batch.mask)
        return found

    def wanted(batch: Batch) -> Wanted:
        genuine = {}
        if whole is not None:
            with torch.no_grad():
                genuine = {OUTPUT: whole(view_of(high, batch, device))}
        return Wanted(genuine, batch.labels.to(device), None if batch.mask is None else batch.mask.to(device))

    def look() -> Outcome | None:
        model.eval()
        try:
            return own_outcomes({name: answer}, sweep, "val", fitting=True)[name]
        except NonFiniteError:
            return None

    begun = look()
    if begun is None:
        raise FitError(f"The stitch {name} gives no finite loss before the first step: expected a finite one.")
    history = [(0, begun.error, begun.loss)]
    best = _Best(model, (begun.error, begun.loss))
    for step, batch in _steps(sweep):
        loss = objective.loss({OUTPUT: answer(batch)}, wanted(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if not bool(torch.isfinite(loss)):
            break
        optimiser.step()
        schedule.step()
        if tell:
            tell(f"tune {name}", step, spec.steps)
        if step % spec.eval_every and step != spec.steps:
            continue
        seen = look()
        if seen is None:
            break
        history.append((step, seen.error, seen.loss))
        if best.stale_after((seen.error, seen.loss)) > spec.patience:
            break
    model.load_state_dict(best.state)
    for part in (model.bottom, model.top):
        for weight in part.parameters():
            weight.requires_grad_(False)
    return model.eval(), history


class _Best:
    """The best state of a model so far: that of the smallest (error, loss)."""

    def __init__(self, model: Joined, seen: tuple[float, float]) -> None:
        self._model, self._seen, self._stale = model, seen, 0
        self.state = copy.deepcopy(model.state_dict())

    def stale_after(self, seen: tuple[float, float]) -> int:
        """Keep the model as it is now if it is better; how many looks have brought nothing since the best."""
        self._stale += 1
        if seen < self._seen:
            self._seen, self._stale, self.state = seen, 0, copy.deepcopy(self._model.state_dict())
        return self._stale


def spec_of(options: dict[str, Any]) -> FitSpec:
    """Read how a stitch is tuned.

    Raises:
        StudyError: an option is unknown or wrong.
    """
    try:
        return FitSpec(**options)
    except ValidationError as error:
        raise StudyError(sentence(error, lambda _: list(options))) from error


def _steps(sweep: Sweep) -> Iterator[tuple[int, Batch]]:
    """The steps of a fit, pass after pass over the fit split."""
    step = 0
    while step < sweep.spec.steps:
        for batch in sweep.batches("tune", str(step)):
            step += 1
            yield step, batch
            if step == sweep.spec.steps:
                return
