"""What a stitcher is fitted to, beyond the closed form.

task        the labels: cross-entropy (Bansal et al. 2021).
distill     the top's own outputs: Kullback-Leibler divergence at a temperature (Hinton et al. 2015).
downstream  the top's own activations after the seam, relative squared error, label-free (cf. Mai et al. 2026,
            Athanasiadis et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..errors import StitchError
from ..measure import example_losses
from ..network import Network
from .options import FitSpec

Values = dict[str, Tensor]
Loss = Callable[[Values, Values, Tensor], Tensor]  # stitched values, genuine values, labels -> a number

MATCH = "match"


@dataclass(frozen=True)
class Objective:
    """One stage of fitting.

    Attributes:
        name: as written by the user.
        later: the top's layers whose activations it looks at.
        genuine: whether it needs the top's own forward.
        loss: (stitched values, genuine values, labels) -> scalar.
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


def _task(values: Values, genuine: Values, labels: Tensor) -> Tensor:
    return example_losses(values["output"], labels).mean()


def _distill(temperature: float) -> Loss:
    def loss(values: Values, genuine: Values, labels: Tensor) -> Tensor:
        student = F.log_softmax(values["output"].float() / temperature, -1)
        teacher = F.log_softmax(genuine["output"].float() / temperature, -1)
        return temperature**2 * F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1).mean()

    return loss


def _downstream(later: tuple[str, ...]) -> Loss:
    def loss(values: Values, genuine: Values, labels: Tensor) -> Tensor:
        terms = [relative_error(values[name].float(), genuine[name].float()) for name in (*later, "output")]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total / len(terms)

    return loss


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """|found - wanted|^2 / |wanted - mean over the batch|^2."""
    spread = (wanted - wanted.mean(0, keepdim=True)).square().sum()
    return (found - wanted).square().sum() / spread.clamp(min=1e-12)
