"""BatchNorm statistics that belong to a segment, not to the donor: copied, then moved or re-estimated at will."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import ShapeError
from .graph import NORM, replace, stored, tidy
from .segment import Segment, target_of

Mode = Literal["frozen", "running", "mean"]


class Norm(nn.Module):
    """One BatchNorm of a segment with a copy of the donor's statistics.

    Attributes:
        mean, var: the statistics, shape (channels,).
        mode: "frozen" normalises with them; "running" and "mean" normalise with those of the batch and move the copy:
            by the layer's own momentum (as training mode does), or to the plain mean over all batches since
            ``restart``.
        name: the donor's module.
        seen: how many batches have moved the copy.
        before: how many had moved the donor's, where its momentum is None: "running" then goes on with the mean over
            all.
    """

    mean: Tensor
    var: Tensor
    seen: Tensor

    def __init__(self, name: str, mean: Tensor, var: Tensor, before: int | None = None) -> None:
        super().__init__()
        self.name = name
        self.mode: Mode = "frozen"
        self.before = before
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # part of the state of an unfinished fit
        self.register_buffer("mean", mean.detach().clone())
        self.register_buffer("var", var.detach().clone())

    def restart(self) -> None:
        """Forget the batches seen, so that the next mean starts anew."""
        self.seen.zero_()

    def forward(
        self, x: Tensor, weight: Tensor | None, bias: Tensor | None, momentum: float, eps: float
    ) -> tuple[Any, ...]:
        """x (n, channels, ...) normalised; a tuple, as the operator that it stands for gives.

        Raises:
            ShapeError: if statistics are asked of a single value per channel.
        """
        if self.mode == "frozen":
            result: tuple[Any, ...] = NORM(x, weight, bias, self.mean, self.var, momentum, eps)
            return result
        if x.numel() == x.shape[1]:
            raise ShapeError(
                f"BatchNorm {self.name!r} has one value per channel in a batch of {len(x)}: expected two or more to "
                "take statistics of; use a larger batch_size, or normalisation='frozen'."
            )
        self.seen += 1
        if self.mode == "mean":
            share = 1 / int(self.seen)
        else:
            share = momentum if self.before is None else 1 / (self.before + int(self.seen))
        y = F.batch_norm(x, self.mean, self.var, weight, bias, True, share, eps)
        if not self.finite:  # an infinite one would give a plausible 0; not in place: the backward pass reads it
            self.var = torch.full_like(self.var, torch.nan)
        return (y,)

    @property
    def finite(self) -> bool:
        """Whether the statistics can be used; else all that is normalised with them is NaN."""
        return bool(torch.isfinite(self.var).all() and torch.isfinite(self.mean).all())


def own_statistics(segment: Segment, donor: nn.Module) -> dict[str, Norm]:
    """Give a fresh segment of ``donor`` its own statistics, in place; {name of the donor's module: its Norm}.

    A module that is called twice keeps one set of statistics. Layers without running statistics are left as they are,
    and so are those that compute them: what is no stored tensor cannot be moved.
    """
    body, found = segment.body, {}
    cumulative = {  # a graph in eval mode has 0 for the momentum of these
        target_of(f"{name}.running_mean"): int(part.num_batches_tracked)
        for name, part in donor.named_modules(remove_duplicate=False)
        if isinstance(part, _BatchNorm) and part.momentum is None and part.num_batches_tracked is not None
    }
    for node in list(body.graph.nodes):
        held = _statistics(body, node)
        if held is None:
            continue
        name, mean, var = held
        if name not in found:
            found[name] = Norm(name, mean, var, cumulative.get(str(node.args[3].target)))
            body.add_submodule(f"statistics_{len(found)}", found[name])
        place = next(k for k, v in body.named_children() if v is found[name])
        x, weight, bias, *_, momentum, eps = node.args
        with body.graph.inserting_before(node):
            replace(body.graph, node, body.graph.call_module(place, (x, weight, bias, momentum, eps)))
    if found:
        body.graph.eliminate_dead_code()
        body.recompile()
    return found


def _statistics(body: fx.GraphModule, node: fx.Node) -> tuple[str, Tensor, Tensor] | None:
    """The module, the mean and the variance of a BatchNorm that stores them; None of any other node."""
    mean, var = (stored(body, node.args[at]) if node.target is NORM else None for at in (3, 4))
    if mean is None or var is None:
        return None
    return str(node.args[3].target).removesuffix(".running_mean"), mean, var  # type: ignore[union-attr]


def put_statistics(segment: Segment, values: Mapping[str, Tensor]) -> None:
    """Let the BatchNorms of a fresh segment normalise with other statistics.

    They are {"<module>.mean", "<module>.var": (channels,)}. Modules that the segment has not are passed
    over. The donor's statistics, and what else reads them, stay.
    """
    body = segment.body
    given: dict[str, str] = {}
    for node in list(body.graph.nodes):
        held = _statistics(body, node)
        if held is None:
            continue
        name, *own = held
        for at, which, old in zip((3, 4), ("mean", "var"), own):
            key = f"{name}.{which}"
            if key not in values:
                continue
            if key not in given:
                given[key] = f"statistics_{len(given)}"
                body.register_buffer(given[key], values[key].detach().to(old).clone())
            with body.graph.inserting_before(node):
                node.update_arg(at, body.graph.get_attr(given[key]))
    if given:
        tidy(body)
