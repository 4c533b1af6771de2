"""Every bottom layer into every top layer: all closed forms from one pass, all evaluated together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.data import Data
from ..engine.alone import Alone, introduce, look
from ..engine.entry import check_entry
from ..engine.measure import Estimate, Outcome, agreement, penalty, perplexities
from ..engine.scores import MATCHED, need_scores, notes_on
from ..engine.senders import NetworkSender
from ..engine.sweep import Sweep
from ..errors import MeasureError, StitchError
from ..moments.moments import Moments
from ..network import Network, apart, check_networks
from ..stitchers import Site, Stitcher, family_of
from ..support.ambient import in_settled
from ..support.device import pick_device
from ..support.progress import Tell
from ..support.ranks import current
from ..support.shown import visible
from .evaluate import Joint, Judged
from .keep import Kept, identity_of
from .plan import plan_matrix
from .sums import collect

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from ..results import Results


@dataclass(frozen=True)
class Entry:
    """One stitch of the matrix.

    Attributes:
        bottom_layer, top_layer, family: which.
        stitcher: the solved map; the adapter comes before it.
        adapter: the parameter-free step, in words; "none" if nothing.
        judged: what it does on the test split.
    """

    bottom_layer: str
    top_layer: str
    family: str
    stitcher: Stitcher
    adapter: str
    judged: Judged


class Matrix:
    """The stitches of every bottom layer with every top layer, measured on the test split.

    Attributes:
        bottom, top: the networks' names.
        weights: where the weights of each come from, by name.
        entries: one for each pair of layers and family.
        top_outcome, bottom_outcome: what the donors themselves do on the same examples.
        notes: what is missing, and why.
        donors: what the two networks do alone, by name, as looked at before anything was solved.
        solved_on: the examples that the maps are solved on, and how these are changed, in words.
    """

    def __init__(
        self, bottom: Network, top: Network, entries: Sequence[Entry], top_outcome: Outcome, bottom_outcome: Outcome,
        notes: Sequence[str] = (), solved_on: str = "the fit split", donors: Sequence[Alone] = (),
    ) -> None:  # fmt: skip
        self.solved_on = solved_on
        self.weights = {network.name: network.weights for network in (bottom, top)}
        self.donors = {donor.name: donor.stated() for donor in donors}
        self.bottom, self.top, self.entries = bottom.name, top.name, list(entries)
        constant = list(dict.fromkeys(e.top_layer for e in entries if e.judged.relative_mse is None))
        unknown = f"The top's own activations at {', '.join(constant)} do not vary: no relative_mse and no r2 there."
        self.notes = [*notes, *([unknown] if constant else [])]
        self.top_outcome, self.bottom_outcome = top_outcome, bottom_outcome
        self._places = {
            side: {name: (at, network.layer(name).depth) for at, name in enumerate(network.cuts)}
            for side, network in (("bottom", bottom), ("top", top))
        }

    def __repr__(self) -> str:
        families = ", ".join(dict.fromkeys(entry.family for entry in self.entries))
        layers = [len({getattr(e, side) for e in self.entries}) for side in ("bottom_layer", "top_layer")]
        return visible(f"Matrix({self.bottom} -> {self.top}: {layers[0]} x {layers[1]} layers, {families})")

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One value a row.

        Columns: bottom, bottom_layer, top, top_layer, family, metric, value, low, high, unit, depths, and the
        family's invariance and how it is solved, in words.

        Metrics: penalty (points or nats/token, paired 95 % interval), error, top_error, bottom_error, agreement_top,
        agreement_bottom (percent), relative_mse, r2 (both held out; absent where the top's own layer is constant), parameters.
        """
        import polars as pl

        found = []
        for entry in self.entries:
            for metric, e in self._metrics(entry).items():
                found.append({
                    "bottom": self.bottom, "bottom_layer": entry.bottom_layer, **self._place("bottom", entry.bottom_layer),
                    "top": self.top, "top_layer": entry.top_layer, **self._place("top", entry.top_layer),
                    "family": entry.family, "objective": "match", "control": "pair", "metric": metric,
                    "value": e.value, "low": e.low, "high": e.high, "unit": e.unit,
                    "invariance": entry.stitcher.invariance, "solved": entry.stitcher.solved,
                })  # fmt: skip
        return pl.DataFrame(found, infer_schema_length=None)

    def figure(self, metrics: Sequence[str] = ("penalty", "r2"), *, family: str | None = None) -> Figure:
        """Heat maps side by side, one for each metric; layers at matching depth are framed.

        Args:
            family: the first one by default.
        """
        import polars as pl

        from ..report.figures.heatmaps import matrix_figure

        chosen = family or self.entries[0].family
        return matrix_figure(self.frame.filter(pl.col("family") == chosen), self.bottom, self.top, metrics)

    def report(
        self, path: str | Path, *, similarities: Results | None = None, title: str | None = None,
        command: str | None = None,
    ) -> Path:  # fmt: skip
        """Write the inert HTML page: heat maps, scatters against measures, the ladder of families, tables.

        Args:
            similarities: measures of the same layers, to stand beside the penalty.

        Raises:
            MeasureError: the similarities are of other networks, or of none of these layers.
        """
        from ..report.figures.marks import mark, marked_frame
        from ..report.similarity_page import similarity_page
        from ..support.files import write_text

        target = Path(path)
        if similarities is not None:
            self._check_alike(similarities)
        placed, notes = (
            (similarities.frame, [*similarities.spec["about"], *similarities.notes]) if similarities else (None, [])
        )
        notes = [
            f"Stitches: solved on {self.solved_on}; measured on {len(self.top_outcome.ids):,} examples of the test split.",
            *self.notes,
            *(f"Weights of {name}: {weights}." for name, weights in self.weights.items()),
            *notes,
        ]
        bottom, top = (mark(name, self.weights[name]) for name in (self.bottom, self.top))
        placed, own = (None if rows is None else marked_frame(rows, bottom, top) for rows in (placed, self.frame))
        text = similarity_page(bottom, top, placed, own, title=title, command=command, notes=notes)
        write_text(target, text)
        return target

    def _check_alike(self, similarities: Results) -> None:
        ends = similarities.pairs[0]
        if ends != (self.bottom, self.top):
            raise MeasureError(
                f"The similarities beside {self.bottom} -> {self.top} must be of these networks in this order, found "
                f"{' -> '.join(ends)}: measure them with similarity(bottom, top, ...)."
            )
        mine = {(e.bottom_layer, e.top_layer) for e in self.entries}
        if not mine & {(r["bottom_layer"], r["top_layer"]) for r in similarities.similarities}:
            raise MeasureError(
                "The similarities are of none of the matrix's pairs of layers: measure them with the same layers."
            )

    def _repr_html_(self) -> str:
        from ..report.figures.svg import to_svg

        return to_svg(self.figure())

    def _place(self, side: str, layer: str) -> dict[str, float]:
        index, depth = self._places[side][layer]
        return {f"{side}_index": index, f"{side}_depth": depth}

    def _metrics(self, entry: Entry) -> dict[str, Estimate]:
        outcome, mse = entry.judged.outcome, entry.judged.relative_mse
        points = outcome.unit == "points"
        unit = "percent" if points else outcome.unit
        found = {
            "penalty": penalty(outcome, self.top_outcome),
            "error": Estimate(outcome.error, unit=unit),
            "top_error": Estimate(self.top_outcome.error, unit=unit),
            "bottom_error": Estimate(self.bottom_outcome.error, unit=unit),
            **({} if mse is None else {"relative_mse": Estimate(mse), "r2": Estimate(1.0 - mse)}),
            "parameters": Estimate(float(entry.stitcher.parameter_count)),
        }
        if not points:
            found |= perplexities(outcome, self.top_outcome)
        found["agreement_top"] = agreement(outcome, self.top_outcome)
        if len(outcome.answers) == len(self.bottom_outcome.answers):
            found["agreement_bottom"] = agreement(outcome, self.bottom_outcome)
        return found


@in_settled
def matrix(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
    family: str | Sequence[str] = "affine",
    positions: int | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    device: str = "auto",
    rows_at_once: int = 4096,
    sums: str | Path | None = None,
    tell: Tell | None = None,
    expected_error: float | Mapping[str, float] | None = None,
    error_tolerance: float | None = None,
    **fit: Any,
) -> Matrix:
    """Stitch every bottom layer to every top layer in closed form, and measure all stitches on the test split.

    The numbers are those of ``stitch(..., objective="match")`` pair by pair: one pass over the fit examples gives the sums
    of all pairs, and streams that enter the top at different layers run the rest of it as one batch.

    Args:
        bottom, top: the donors; neither is changed.
        data: what to fit and measure on.
        layers: (bottom's, top's) exact cuts; the block cuts of both by default.
        family: one or several closed forms, as for :func:`stitch`. A family that needs equal channels, or a rank, is left out
            where the layers have others, with a note.
        positions: fit on at most so many positions of each example, drawn by the seed; all by default.
        dtype: of the sums: torch.float64, or torch.float32 (centred before any product).
        seed: of the order and augmentation of fit examples.
        rows_at_once: how many examples of all streams run through the top as one batch; memory grows with it.
        sums: a file that keeps the sums as they grow: an interrupted call goes on from there, and one for other families
            needs no pass.
        tell: hears of progress: (what, done, of how many).
        expected_error, error_tolerance: as for :func:`stitch`.
        **fit: fields of the fit options: samples; batch_size; budget, "top" (what the top was trained on, where that is
            known) or "all"; augment, whether fit examples are changed by the data's augmentation, once each, as they are by
            default. Donors trained without it are better stitched without. Others concern steps, and are refused.

    Raises:
        StitchError: one sentence that names what was expected, what was found and what to try.
    """
    check_networks(bottom=bottom, top=top)
    check_entry((bottom, top), data)
    bottom, top = apart(bottom, top)
    need_scores(top, data)
    plan = plan_matrix(bottom, top, data, layers=layers, family=family, positions=positions, dtype=dtype, **fit)
    spec, where = plan.spec, pick_device(device)
    data = plan.fit_data(data.on(where), seed)
    donors = [
        look(network, data, where, top=True, batch_size=2 * spec.batch_size) for network in dict.fromkeys((bottom, top))
    ]
    introduce(donors, tell, expected_error, error_tolerance)
    sweep = Sweep(NetworkSender(bottom), top, data, spec, where, seed)
    layers_read = (plan.bottoms, plan.tops)
    ranks = current()
    identity = (
        identity_of((bottom, top), layers_read, data, spec, seed=seed, positions=positions, dtype=dtype)
        if sums or ranks
        else {}
    )
    if ranks is not None:
        ranks.agree("matrix", identity)
    kept = Kept(Path(sums) if sums is not None else None, identity)
    batches = 0

    def save(count: int) -> None:
        nonlocal batches
        batches = count
        kept.save(plan.groups, count)

    collect(plan.groups, sweep, bottom, positions, dtype, tell, restore=lambda: kept.restore(plan.groups), save=save)
    if batches:
        kept.save(plan.groups, batches, last=True)
    joint = Joint(bottom, top, where, rows_at_once)
    adapters = {}
    for group in plan.groups:
        for t in group.tops:
            for b in plan.bottoms:
                site = Site(bottom.layer(b).channels, top.layer(t).channels, group.kind)
                adapters[b, t] = group.adapters[b].describe()
                for text, seams in plan.seams.items():
                    if (b, t) in seams:
                        stitcher = _solve(text, group.pair(b, t), site, f"{bottom.name}@{b} -> {top.name}@{t}")
                        joint.enter((text, b, t), b, t, group.adapters[b], stitcher.to(where))
    judged, top_outcome, bottom_outcome = joint.run(data, spec.batch_size * 2, tell)
    entries = [
        Entry(b, t, text, joint.stitchers[text, b, t], adapters[b, t], judged[text, b, t])
        for text, seams in plan.seams.items()
        for b, t in seams
    ]
    cautions = [caution for donor in donors for caution in donor.cautions]
    notes = [*plan.notes, *notes_on(top, top_outcome, data, MATCHED), *cautions]
    return Matrix(bottom, top, entries, top_outcome, bottom_outcome, notes, plan.solved_on, donors)


def _solve(text: str, moments: Moments, site: Site, where: str) -> Stitcher:
    cls, options = family_of(text)
    try:
        return cls.solve(moments, site, **options).eval()
    except StitchError as error:
        raise type(error)(f"{where}: {error}") from error
