"""What a stitcher is fitted to, beyond the closed form.

task        the labels: cross-entropy (Bansal et al. 2021).
distill     the top's own outputs: Kullback-Leibler divergence at a temperature (Hinton et al. 2015).
downstream  the top's own activations after the seam, relative squared error, label-free (cf. Mai et al. 2026,
            Athanasiadis et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import StitchError
from ..measure import IGNORED, example_losses
from ..network import Network
from .options import FitSpec

Values = dict[str, Tensor]

MATCH = "match"


@dataclass(frozen=True)
class Wanted:
    """What a batch is held against.

    Attributes:
        values: the top's own, by layer, and "output".
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
        loss: (stitched values, what is wanted) -> scalar.
    """

    name: str
    later: tuple[str, ...]
    genuine: bool
    loss: Loss


def stages(text: str, top: Network, top_layer: str, spec: FitSpec) -> tuple[Objective, ...]:
    """The stages of a written objective: ``"task"``, or ``"downstream+task"`` for two in a row; none for "match".

    Raises:
        StitchError: if a name is unknown.
    """
    return () if text == MATCH else tuple(_objective(name.strip(), top, top_layer, spec) for name in text.split("+"))


def _objective(name: str, top: Network, top_layer: str, spec: FitSpec) -> Objective:
    if name == "task":
        return Objective(name, (), False, _task)
    if name == "distill":
        return Objective(name, (), True, _distill(spec.temperature))
    if name == "downstream":
        later = _after(top, top_layer)
        return Objective(name, later, True, _downstream(later))
    raise StitchError(
        f"The objective {name!r} is unknown: expected match, task, distill, downstream, or downstream+task."
    )


def _after(top: Network, top_layer: str) -> tuple[str, ...]:
    """The block cuts after the seam; the last one is the penultimate layer."""
    order = list(top.layers)
    at = order.index(top.layer(top_layer).name)
    return tuple(name for name in top.blocks if order.index(name) > at)


def _task(values: Values, wanted: Wanted) -> Tensor:
    losses = example_losses(values["output"], wanted.labels)
    if wanted.labels.ndim == 1:
        return losses.mean()
    tokens = (wanted.labels != IGNORED).sum(1)  # the mean over tokens, as it is measured
    return (losses * tokens).sum() / tokens.sum().clamp(min=1)


def _distill(temperature: float) -> Loss:
    def loss(values: Values, wanted: Wanted) -> Tensor:
        student = F.log_softmax(values["output"].float() / temperature, -1)
        teacher = F.log_softmax(wanted.values["output"].float() / temperature, -1)
        apart = F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1)
        if wanted.mask is not None and apart.shape == wanted.mask.shape:
            apart = apart[wanted.mask]
        return temperature**2 * apart.sum() / max(apart.numel(), 1)

    return loss


def _downstream(later: tuple[str, ...]) -> Loss:
    def loss(values: Values, wanted: Wanted) -> Tensor:
        terms = [
            relative_error(values[name].float(), wanted.values[name].float(), wanted.mask)
            for name in (*later, "output")
        ]
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
