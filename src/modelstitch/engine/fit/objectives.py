"""What a stitcher is fitted to, beyond the closed forms, ``match`` and ``sensitivity``.

task        the labels, by the loss of the data's task: of classes cross-entropy (Bansal et al. 2021).
distill     the top's own outputs, or the bottom's: Kullback-Leibler divergence at a temperature (Hinton et al. 2015);
            where outputs are no scores of classes relative squared error.
downstream  the top's own activations after the seam, relative squared error, label-free (cf. Mai et al. 2026,
            Athanasiadis et al. 2025); at all block cuts and the output, at the penultimate cut, or at chosen layers.
own:...     a user's own function (see ``modelstitch.engine.fit.objectives``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.labels import IGNORED
from ...data.tasks import CLASSIFICATION, Task
from ...errors import FitError, StitchError
from ...network import OUTPUT, Network
from ...support.user_code import digest
from .options import SOLVED, FitSpec

Values = dict[str, Tensor]

BELOW = ".output of the bottom"


@dataclass(frozen=True)
class Wanted:
    """What a batch is held against.

    Attributes:
        values: the top's own, by layer, and its output under OUTPUT.
        labels: (n,), or (n, t) with -100 where none counts.
        mask: bool (n, t), the tokens of padded sequences; None where nothing is padded.
    """

    values: Values
    labels: Tensor
    mask: Tensor | None

    def reordered(self, order: Tensor) -> Wanted:
        """Every sample with what belongs to another one; a token that meets padding there counts for nothing."""
        labels, mask = self.labels[order], self.mask
        if mask is not None:
            labels = labels.masked_fill(~mask, IGNORED) if labels.shape == mask.shape else labels
            mask = mask & mask[order]
        return Wanted({name: value[order] for name, value in self.values.items()}, labels, mask)


Loss = Callable[[Values, Wanted], Tensor]  # of the stitched values


@dataclass(frozen=True)
class Objective:
    """One stage of fitting.

    Attributes:
        name: as written by the user.
        later: the top's layers whose activations it looks at.
        genuine: whether it needs the top's own forward.
        below: whether it needs the bottom's own output, as values[BELOW].
        loss: (stitched values, what is wanted) -> scalar.
    """

    name: str
    later: tuple[str, ...]
    genuine: bool
    loss: Loss
    below: bool = False


def stages(
    text: str,
    top: Network,
    top_layer: str,
    spec: FitSpec,
    own: Mapping[str, Loss] | None = None,
    task: Task = CLASSIFICATION,
) -> tuple[Objective, ...]:
    """The stages of a written objective: ``"task"``, or ``"downstream+task"`` for two; none of what is solved.

    Args:
        own: the user's own losses by name.
        task: of the data.

    Raises:
        StitchError: if a name is unknown, or a layer to look at lies not behind the seam.
    """
    if text in SOLVED:
        return ()
    return tuple(_objective(name.strip(), top, top_layer, spec, own or {}, task) for name in text.split("+"))


def _objective(
    name: str, top: Network, top_layer: str, spec: FitSpec, own: Mapping[str, Loss], task: Task
) -> Objective:
    if name == "task":
        return Objective(name, (), task.of_top, _task(task))
    if name == "distill":
        below = spec.targets == "bottom"
        return Objective(
            name, (), not below, _distill(spec.temperature, BELOW if below else OUTPUT, task.scores), below
        )
    if name == "downstream":
        looked = _looked_at(top, top_layer, spec)
        return Objective(name, tuple(n for n in looked if n != OUTPUT), True, _downstream(looked))
    if name in own:
        looked = _looked_at(top, top_layer, spec)
        return Objective(name, tuple(n for n in looked if n != OUTPUT), True, own[name])
    if name in SOLVED:
        raise StitchError(
            f"The objective {name!r} is solved, not fitted, and every fitted one starts from a closed form: leave it "
            "out of the stages."
        )
    raise StitchError(
        f"The objective {name!r} is unknown: expected match, sensitivity, task, distill, downstream, or "
        "downstream+task."
    )


def _after(top: Network, top_layer: str) -> tuple[str, ...]:
    """The block cuts after the seam; the last one is the penultimate layer."""
    order = list(top.layers)
    at = order.index(top.layer(top_layer).name)
    return tuple(name for name in top.blocks if order.index(name) > at)


def _looked_at(top: Network, top_layer: str, spec: FitSpec) -> tuple[str, ...]:
    """The places behind a seam that ``downstream`` holds against the top's own; the output is OUTPUT.

    Raises:
        UnknownLayerError, InexactCutError: if a chosen layer cannot be cut at.
        StitchError: if none of the chosen ones lies behind the seam.
    """
    after = _after(top, top_layer)
    if spec.downstream == "all":
        return (*after, OUTPUT)
    if spec.downstream == "penultimate":
        return after[-1:] or (OUTPUT,)
    order = list(top.layers)
    at = order.index(top.layer(top_layer).name)
    chosen = [OUTPUT if n == "output" else top.cut(n) for n in spec.downstream]
    found = tuple(n for n in chosen if n == OUTPUT or order.index(n) > at)
    if not found:
        raise StitchError(
            f"None of the layers {', '.join(chosen)} lies behind {top_layer!r} in {top.name!r}: expected one at least; "
            "add 'output' to downstream, which lies behind every layer."
        )
    return found


def _task(task: Task) -> Loss:
    if task.of_top:
        return lambda values, wanted: task.fitted(values[OUTPUT].float(), wanted.values[OUTPUT].float())
    return lambda values, wanted: task.fitted(values[OUTPUT].float(), wanted.labels)


def _distill(temperature: float, target: str, scores: int | None) -> Loss:
    def loss(values: Values, wanted: Wanted) -> Tensor:
        if wanted.values[target].shape != values[OUTPUT].shape:
            raise StitchError(
                f"The {'output' if target == OUTPUT else 'output of the bottom'} has shape "
                f"{tuple(wanted.values[target].shape)}, the stitched output "
                f"{tuple(values[OUTPUT].shape)}: expected the same classes on both sides; use targets='top'."
            )
        if scores is None:
            return relative_error(values[OUTPUT].float(), wanted.values[target].float())
        student = F.log_softmax(values[OUTPUT].float() / temperature, scores)
        teacher = F.log_softmax(wanted.values[target].float() / temperature, scores)
        apart = F.kl_div(student, teacher, log_target=True, reduction="none").sum(scores)
        if wanted.mask is not None and apart.shape == wanted.mask.shape:
            apart = apart[wanted.mask]
        return temperature**2 * apart.sum() / max(apart.numel(), 1)

    return loss


def _downstream(places: tuple[str, ...]) -> Loss:
    def loss(values: Values, wanted: Wanted) -> Tensor:
        terms = [relative_error(values[name].float(), wanted.values[name].float(), wanted.mask) for name in places]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total / len(terms)

    return loss


def relative_error(found: Tensor, wanted: Tensor, mask: Tensor | None = None) -> Tensor:
    """|found - wanted|^2 / |wanted - mean over the batch|^2; of (n, t, c) only the tokens of ``mask``, bool (n, t)."""
    if mask is not None and wanted.ndim == 3 and wanted.shape[:2] == mask.shape:
        marked = mask[..., None]
        mean = torch.where(marked, wanted, 0).sum(0, keepdim=True) / marked.sum(0, keepdim=True).clamp(min=1)
        spread = torch.where(marked, wanted - mean, 0).square().sum()
        return torch.where(marked, found - wanted, 0).square().sum() / spread.clamp(min=1e-12)
    spread = (wanted - wanted.mean(0, keepdim=True)).square().sum()
    return (found - wanted).square().sum() / spread.clamp(min=1e-12)


PREFIX = "own:"
OwnLoss = Callable[[Values, Values, Tensor], Tensor]  # stitched values, genuine values, labels -> a number


def name_of(loss: OwnLoss) -> str:
    """How records call it.

    ``own:NAME:HASH``, the hash over its code, its defaults, and the numbers, texts and functions it uses.

    Used are those it closes over and the globals that its code names, helpers' own included. Of other things (lists,
    tensors, modules) only the type counts: they may change while it runs.

    Raises:
        StitchError: if it is no plain function, or does not take three arguments.
    """
    if not inspect.isfunction(loss):
        raise StitchError(
            f"The objective {loss!r} is no objective: expected a name such as 'task', a function "
            "(stitched, genuine, labels) -> loss, or a tuple of these."
        )
    try:
        inspect.signature(loss).bind({}, {}, None)
    except TypeError:
        raise StitchError(
            f"The objective {loss.__name__!r} must take (stitched, genuine, labels), found {loss.__name__}"
            f"{inspect.signature(loss)}: take all three, also those that it does not use."
        ) from None
    return f"{PREFIX}{loss.__name__.strip('<>')}:{digest(loss)}"


def checked(name: str, loss: OwnLoss) -> Loss:
    """The function as the loop calls it; what it returns is checked.

    Raises (when called):
        FitError: if it returns anything but one number that depends on the stitched values.
    """

    def call(values: Values, wanted: Wanted) -> Tensor:
        result: Any = loss(_public(values), _public(wanted.values), wanted.labels)
        if not isinstance(result, Tensor) or result.numel() != 1 or not result.requires_grad:
            found = f"shape {tuple(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
            if isinstance(result, Tensor) and result.numel() == 1:
                found = "a number that does not depend on the stitched values"
            raise FitError(
                f"The loss {name!r} must return one number computed from the stitched values, found {found}: reduce it "
                "with .mean(), and do not detach it."
            )
        return result.reshape(())

    return call


def _public(values: Values) -> Values:
    """The values under the names that a user knows; "output" is always the network's own."""
    return {name: value for name, value in values.items() if name != OUTPUT} | {"output": values[OUTPUT]}
