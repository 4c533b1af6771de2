"""The measured similarities, and the ways to look at them: frame, figure, page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..measures import Measure, Null, find
from ..network import Network
from ..support.shown import visible
from .plan import VIEWS, Plan

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

_NOTES = 2  # of one measure, in words; a hundred pairs of layers may lack a value for one reason


@dataclass(frozen=True)
class Likeness:
    """One measure of one pair of layers; ``value`` is None where it is not defined, and ``note`` says why."""

    bottom_layer: str
    top_layer: str
    measure: Measure
    value: float | None
    null: Null | None
    note: str = ""


class Similarities:
    """Measures of layer pairs, and the ways to look at them.

    Attributes:
        bottom, top: the networks' names.
        weights: where the weights of each come from, by name.
        results: one for each pair of layers and measure.
        plan: how they were computed.
        view: "pool" or "flatten".
        describe: what a reader must know beside the numbers, as sentences.
    """

    def __init__(
        self, bottom: Network, top: Network, results: Sequence[Likeness], plan: Plan, view: str, data: str
    ) -> None:
        self.bottom, self.top = bottom.name, top.name
        self.weights = {network.name: network.weights for network in (bottom, top)}
        self.results, self.plan, self.view, self.data = list(results), plan, view, data
        self._place = {
            side: {name: (at, network.layer(name).depth) for at, name in enumerate(network.layers)}
            for side, network in (("bottom", bottom), ("top", top))
        }

    def __repr__(self) -> str:
        measures = ", ".join(dict.fromkeys(r.measure.name for r in self.results))
        layers = [len({getattr(r, side) for r in self.results}) for side in ("bottom_layer", "top_layer")]
        return visible(
            f"Similarities({self.bottom}, {self.top}: {measures} of {layers[0]} x {layers[1]} layers on {self.data})"
        )

    @property
    def describe(self) -> list[str]:
        return [
            f"Data: {self.data}.",
            *(f"Weights of {name}: {weights}." for name, weights in self.weights.items()),
            f"Each example is one row: {VIEWS[self.view]}.",
            f"{self.plan.describe()}.",
            *self.notes,
        ]

    @property
    def notes(self) -> list[str]:
        """Why values are missing: a few notes of each measure, and how many more there are."""
        by_measure: dict[str, dict[str, None]] = {}
        for result in self.results:
            if result.note:
                by_measure.setdefault(result.measure.name, {})[result.note] = None
        found = []
        for name, notes in by_measure.items():
            found += list(notes)[:_NOTES]
            if len(notes) > _NOTES:
                found.append(
                    f"{name}: {len(notes) - _NOTES} more notes like these stand in the column 'note' of the values."
                )
        return list(dict.fromkeys(found))

    @property
    def frame(self) -> pl.DataFrame:
        """One value a row: bottom, bottom_layer, top, top_layer, measure, kind, value, null_mean, null_low, null_high, n."""
        import polars as pl

        rows = [
            {
                "bottom": self.bottom, "bottom_layer": r.bottom_layer, "top": self.top, "top_layer": r.top_layer,
                "measure": r.measure.name, "kind": r.measure.kind, "value": r.value,
                "null_mean": r.null and r.null.mean, "null_low": r.null and r.null.low,
                "null_high": r.null and r.null.high, "n": self.plan.examples, "note": r.note,
            }
            for r in self.results
        ]  # fmt: skip
        text = ("bottom", "bottom_layer", "top", "top_layer", "measure", "kind", "note")
        return pl.DataFrame(
            rows, {k: pl.String if k in text else pl.Int64 if k == "n" else pl.Float64 for k in rows[0]}
        )

    @property
    def placed(self) -> pl.DataFrame:
        """The frame as reports read it: the measure as ``metric``, control "pair", and each layer's index and depth."""
        import polars as pl

        return self.frame.with_columns(
            pl.lit("pair").alias("control"),
            pl.col("measure").alias("metric"),
            *(
                pl.col(f"{side}_layer").replace_strict({k: v[i] for k, v in self._place[side].items()}).alias(name)
                for side in ("bottom", "top")
                for i, name in enumerate((f"{side}_index", f"{side}_depth"))
            ),
        )

    def figure(self, measures: Sequence[str] | None = None) -> Figure:
        """Heat maps side by side, one for each measure; layers at matching depth are framed."""
        from ..report.figures.heatmaps import matrix_figure

        table = self.placed.filter(~self.placed["value"].is_null())
        names = [find(m).name for m in measures] if measures else table["measure"].unique(maintain_order=True).to_list()
        return matrix_figure(table, self.bottom, self.top, names)

    def report(self, path: str | Path, *, title: str | None = None, command: str | None = None) -> Path:
        """Write the inert HTML page of these similarities alone: heat maps and tables."""
        from ..report.figures.marks import mark, marked_frame
        from ..report.similarity_page import similarity_page
        from ..support.files import write_text

        target = Path(path)
        bottom, top = (mark(name, self.weights[name]) for name in (self.bottom, self.top))
        text = similarity_page(
            bottom, top, marked_frame(self.placed, bottom, top), None, title=title, command=command, notes=self.describe
        )
        write_text(target, text)
        return target

    def _repr_html_(self) -> str:
        from ..report.figures.svg import to_svg

        return to_svg(self.figure())
