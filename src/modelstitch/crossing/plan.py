"""What a matrix of stitches will do, known before anything runs: which pairs, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from ..data.data import Data
from ..engine.alone import SAMPLE
from ..engine.fit.clock import forward_seconds
from ..engine.fit.options import FitSpec, fit_spec
from ..engine.senders import NetworkSender
from ..engine.sweep import Sweep, derive
from ..errors import ShapeError, StitchError
from ..network import Network, check_networks
from ..stitchers import FAMILIES, Site, family_of
from ..support.ambient import in_settled
from ..support.device import pick_device
from ..support.memory import readable, require
from .sums import Group, all_positions, collect, group_by_positions

USED = ("samples", "batch_size", "augment", "budget")  # the fit options that a closed form depends on


@dataclass(frozen=True)
class MatrixPlan:
    """What :func:`matrix` will do.

    Attributes:
        bottoms, tops: exact cuts, in the order of the networks.
        seams: {written family: the (bottom layer, top layer) that it has a member for}.
        notes: which pairs are left out, and why.
        spec: how fit examples are read.
        groups: the top's layers by their positions.
        sums, batch: bytes of the sums, and of one batch of activations.
        allowed: the first so many fit examples may be used: what the top was trained on, or all.
        examples: (fit, test) samples that will be read.
        augmented: how fit examples are changed, in words; "" for not at all.
    """

    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    seams: dict[str, list[tuple[str, str]]]
    notes: tuple[str, ...]
    spec: FitSpec
    groups: list[Group]
    sums: int
    batch: int
    allowed: int
    examples: tuple[int, int]
    augmented: str = ""

    def fit_data(self, data: Data, seed: int) -> Data:
        """The data with the fit examples that will be read, those of a stitch with the same options."""
        if self.allowed < data.size("fit"):
            data = data.subset(self.allowed)
        used = self.examples[0]
        return data if used == self.allowed else data.subset(used, seed=derive(seed, "samples"))

    @property
    def solved_on(self) -> str:
        """The examples that the maps are solved on, in words."""
        return f"{self.examples[0]:,} examples of the fit split, {self.augmented or 'not augmented'}"

    @property
    def size(self) -> int:
        """Bytes in all, beside the networks and the data."""
        return self.sums + self.batch

    def describe(self) -> str:
        """The plan in words."""
        stitches = sum(map(len, self.seams.values()))
        return " ".join(
            [
                f"{len(self.bottoms)} x {len(self.tops)} layers, {', '.join(self.seams)}: one pass over {self.solved_on}, "
                f"{readable(self.sums)} of memory for the sums and {readable(self.batch)} for a batch; then "
                f"{stitches} stitches on {self.examples[1]:,} test examples.",
                *self.notes,
            ]
        )


@in_settled
def plan_matrix(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
    family: str | Sequence[str] = "affine",
    positions: int | None = None,
    dtype: torch.dtype = torch.float64,
    available: int | None = None,
    **fit: Any,
) -> MatrixPlan:
    """What :func:`matrix` with these arguments will do, and how much memory it will take.

    Args:
        available: bytes that may be used; by default what the machine has free.

    Raises:
        StitchError, UnknownLayerError, InexactCutError: as :func:`matrix`.
        ShapeError: if a family has no member for any pair of layers.
        MeasureError: if the sums and a batch do not fit; with both sizes.
    """
    check_networks(bottom=bottom, top=top)
    spec = _spec(fit)
    families = (family,) if isinstance(family, str) else tuple(dict.fromkeys(family))
    if layers is not None and (len(layers) != 2 or any(isinstance(side, str) for side in layers)):
        raise StitchError(f"The layers must be two lists, the bottom's and the top's, found {layers!r}.")
    bottoms, tops = (
        tuple(sorted({network.cut(n) for n in chosen}, key=network.cuts.index))
        for network, chosen in zip((bottom, top), layers or (bottom.blocks, top.blocks))
    )
    for network, found in ((bottom, bottoms), (top, tops)):
        if not found and layers is None:
            raise StitchError(
                f"No layer of {network.name!r} can be cut before its output ({network.why_none}): expected one at least; give layers=, "
                "see Network.layers."
            )
    if not (families and bottoms and tops):
        raise StitchError("A matrix needs at least one family, one bottom layer and one top layer.")
    seams, notes = {}, []
    for text in families:
        seams[text], left_out = _possible(text, bottom, top, bottoms, tops, alone=len(families) == 1)
        notes += left_out
    if not any(seams.values()):
        raise ShapeError(f"None of {', '.join(families)} joins a pair of the layers: {notes[0]}")
    seams = {text: pairs for text, pairs in seams.items() if pairs}
    groups = group_by_positions(bottom, top, bottoms, tops)
    whole = all_positions(data, positions)
    allowed = data.size("fit")
    if spec.budget == "top" and top.trained_on is not None:
        allowed = min(top.trained_on, allowed)
    fit_examples = min(spec.samples or allowed, allowed)
    at_once = min(spec.batch_size, fit_examples)
    sums = sum(group.needed(bottom, top, whole=whole, dtype=dtype, batch=at_once) for group in groups)
    per_example = sum(
        prod(network.layer(n).shape) * network.layer(n).dtype.itemsize
        for network, names in ((bottom, bottoms), (top, tops))
        for n in names
    )
    batch = per_example * at_once
    require(
        sums + batch, f"The sums of {len(bottoms)} x {len(tops)} layers, and a batch of their activations,",
        "choose fewer layers, sums in float32, or a smaller batch_size", available=available,
    )  # fmt: skip
    examples = (fit_examples, data.size("test"))
    augmented = f"augmented ({data.augment.recipe})" if spec.augment and data.augment is not None else ""
    widest = max(bottom.layer(name).channels for name in bottoms)
    if fit_examples <= widest:
        notes.append(
            f"{fit_examples:,} fit examples for up to {widest:,} channels: a map may follow these examples alone where a layer "
            "has few positions; use more."
        )
    return MatrixPlan(bottoms, tops, seams, tuple(notes), spec, groups, sums, batch, allowed, examples, augmented)


@in_settled
def matrix_seconds(
    plan: MatrixPlan, bottom: Network, top: Network, data: Data, *, positions: int | None = None,
    dtype: torch.dtype = torch.float64, device: str = "auto",
) -> float:  # fmt: skip
    """About how long :func:`matrix` will take on this machine, from batches that are measured: forwards, and the sums of one.

    The sums take their memory meanwhile; none is kept.
    """
    where = pick_device(device)
    there = data.on(where)
    one = there.subset(min(plan.spec.batch_size, plan.examples[0]))
    below, above = (forward_seconds(network, there, plan.spec, where) for network in (bottom, top))
    began = time.perf_counter()
    collect(
        plan.groups, Sweep(NetworkSender(bottom), top, one, plan.spec, where), bottom, positions, dtype, None
    )  # fmt: skip
    sums = (time.perf_counter() - began) / one.size("fit")
    tails = sum(1 - top.layer(t).depth for seams in plan.seams.values() for _, t in seams)
    fit, test = plan.examples
    alone = test + min(SAMPLE, data.size("fit"))
    return fit * sums + (test + alone) * (below + above) + test * above * tails


def _spec(fit: dict[str, Any]) -> FitSpec:
    """The fit options; those that say how steps are taken are refused, since none is."""
    spec = fit_spec(fit)
    for name in fit:
        if name not in USED:
            raise StitchError(
                f"The fit option {name!r} changes nothing in a matrix, whose maps are solved in closed form: expected "
                f"{', '.join(USED[:-1])} or {USED[-1]}; leave it out, or fit with compare(..., layers='all')."
            )
    return spec


def _possible(
    text: str, bottom: Network, top: Network, bottoms: Sequence[str], tops: Sequence[str], alone: bool
) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs of layers that a family can join, and a note on the others."""
    cls, options = family_of(text)
    if not cls.closed:
        known = ", ".join(name for name, other in FAMILIES.items() if other.closed)
        raise StitchError(
            f"The family {text!r} is started in closed form and then fitted, and a matrix is not fitted: expected one of "
            f"{known}; fit it with compare(..., layers='all')."
        )
    found, errors = [], []
    for b in bottoms:
        for t in tops:
            try:
                cls.check_site(Site(bottom.layer(b).channels, top.layer(t).channels, top.layer(t).kind), **options)
            except ShapeError as error:
                errors.append(f"{bottom.name}@{b} -> {top.name}@{t}: {error}")
            else:
                found.append((b, t))
    if not found and alone:
        raise ShapeError(f"{text} joins no pair of the layers, the first is {errors[0]}")
    if not errors:
        return found, []
    return found, [f"{text} is left out for {len(errors)} of {len(errors) + len(found)} pairs, the first {errors[0]}"]
