"""Results: the records of any number of stitches, and the ways to look at them. Neither networks nor torch are needed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import StitchError, StudyError
from .study.record import Record, as_records
from .support.shown import visible

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

FIGURES = ("penalty", "matrix", "ladder", "samples")
TABLES = (".parquet", ".csv", ".json")
DRAWINGS = (".pdf", ".svg", ".png")


def open(path: str | Path) -> Results:
    """Open what a study left: its folder, or a table that was exported from it.

    Args:
        path: a folder with ``study.json``, or a ``.parquet`` file of records.

    Returns:
        The results, as :func:`modelstitch.compare` gives them. Cells that the study's plan does not name, and records that cannot
        be believed, are left out; ``cautions`` says so, and ``missing`` names what is not finished.

    Raises:
        StudyError: there is no study, or it cannot be read.

    Example::

        import modelstitch as ms

        r = ms.open("runs/study")
        r.frame.filter(metric="penalty", control="pair")
    """
    place = Path(path)
    if place.is_dir():
        from .study.store import Store

        held = Store(place).look()
        return Results(held.records, held.spec, missing=held.missing, cautions=held.cautions)
    if place.suffix != ".parquet":
        raise StudyError(
            f"{place} is no study: expected a folder with study.json, or a .parquet file that was exported from one."
        )
    from .study.parquet import records_from_parquet

    records = records_from_parquet(place)
    return Results(records, {"pairs": [list(pair) for pair in _pairs(records)]})


class Results:
    """The records of a question, and the ways to look at them.

    Attributes:
        records: one :class:`modelstitch.study.record.Record` a cell.
        spec: what was asked.
        missing: cells that were asked for and are not finished.
        cautions: what a reader has to know of the records, one sentence each.
    """

    def __init__(
        self, records: Sequence[Mapping[str, Any]], spec: Mapping[str, Any], *, missing: Sequence[str] = (),
        cautions: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.records = as_records(records)
        self.spec = dict(spec)
        self.missing = list(missing)
        self.cautions = list(cautions)

    def __repr__(self) -> str:
        pairs = ", ".join(f"{bottom} -> {top}" for bottom, top in self.pairs)
        stitched = sum(record.control == "pair" for record in self.records)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        missing = f", {len(self.missing)} missing" if self.missing else ""
        name = type(self).__name__
        return visible(
            f"{name}({pairs}: {stitched} stitches, {len(self.records) - stitched} controls{failed}{missing})"
        )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The (bottom, top) pairs that were asked for, by name."""
        asked = self.spec.get("pairs")
        return [(str(b), str(t)) for b, t in asked] if isinstance(asked, list | tuple) else _pairs(self.records)

    @property
    def frame(self) -> pl.DataFrame:
        """One value a row: networks and layers, family, objective, control, seed, metric, value, low, high."""
        from .report.frame import frame

        return frame(self.records)

    @property
    def failed(self) -> list[str]:
        """A sentence for each stitch that has nothing to measure; the others stand."""
        return [note for record in self.records for note in record.notes if note.startswith("failed: ")]

    @property
    def donors(self) -> dict[str, dict[str, Any]]:
        """What each network does alone: error, fit_error (and of how many fit samples), unit, weights and view in words."""
        return {n: facts._asdict() for record in self.records for n, facts in (record.donors or {}).items()}

    @property
    def notes(self) -> list[str]:
        """What cells noted about themselves, each once."""
        return list(dict.fromkeys(note for record in self.records for note in record.notes))

    @property
    def pooled(self) -> pl.DataFrame:
        """One row a seam, setting and control, over all pairs and seeds: value, hierarchical interval, n of each.

        Columns besides: the normalised penalty with its interval on rows of pairs, or the reason why it is empty.
        """
        from .report.pooled import pooled

        return pooled(self.records)

    @property
    def examples(self) -> pl.DataFrame:
        """One row a test sample, seam and control: what the stitched model and the top alone made of it.

        Columns: cell, the networks and layers, family, objective, control, seed, sample (its place in the test split), stitched_error
        and top_error (0 or 100 percent, or nats), weight (1, or the number of tokens), unit. Cells that keep none have no rows.
        """
        from .report.frame import examples

        return examples(self.records)

    def figure(self, what: str = "penalty", *, pair: tuple[str, str] | None = None) -> Figure:
        """Draw a matplotlib figure: "penalty" (against depth, with controls), "matrix", "ladder", or "samples".

        Args:
            pair: (bottom, top); the first pair by default.

        Raises:
            StitchError: there is no such figure, or no such pair.
        """
        from .report.figures.heatmaps import matrix_figure
        from .report.figures.pair import ladder_figure, penalty_figure, samples_figure
        from .report.frame import measured, panel, settings
        from .report.pooled import settled

        if what not in FIGURES:
            raise StitchError(f"The figure {what!r} is unknown: expected one of {', '.join(map(repr, FIGURES))}.")
        if not self.pairs:
            raise StudyError("There is nothing to draw: expected at least one finished cell of a pair, found none.")
        bottom, top = pair or self.pairs[0]
        if (bottom, top) not in self.pairs:
            known = ", ".join(f"{b} -> {t}" for b, t in self.pairs)
            raise StitchError(f"The pair {bottom} -> {top} was not stitched: expected one of {known}.")
        table = settled(self.frame, self.records)
        rows = panel(table, bottom, top)
        if measured(rows).is_empty():
            raise StudyError(
                f"There is nothing to draw of {bottom} -> {top}: expected a finished cell with a penalty, found none."
            )
        if what == "penalty":
            return penalty_figure(panel(table, bottom, top, settings(table)[0]), bottom, top)
        if what == "matrix":
            return matrix_figure(rows, bottom, top, ["penalty", "cka", "r2"])
        return (ladder_figure if what == "ladder" else samples_figure)(rows, bottom, top)

    def draw(self, path: str | Path, what: str = "penalty", *, pair: tuple[str, str] | None = None) -> Path:
        """Write a figure to a file; its ending says how: .pdf, .svg or .png.

        Raises:
            StitchError: as :meth:`figure`, or the ending is another one.
            StudyError: the file cannot be written.
        """
        from .support.files import make_folder, write_atomic

        target = Path(path)
        if target.suffix not in DRAWINGS:
            raise StitchError(f"The figure {target} has no known ending: expected {', '.join(DRAWINGS)}.")
        drawn, content = self.figure(what, pair=pair), io.BytesIO()
        drawn.savefig(content, format=target.suffix[1:], bbox_inches="tight", dpi=200)
        make_folder(target.parent)
        write_atomic(target, content.getvalue())
        return target

    def report(self, path: str | Path, *, title: str = "Stitching report", command: str | None = None) -> Path:
        """Write the inert HTML page.

        Raises:
            StudyError: there is nothing to report, or the page cannot be written.
        """
        from .report.page import page
        from .support.files import write_text

        target = Path(path)
        write_text(target, page(self.records, title=title, spec=self.spec, command=command, missing=len(self.missing)))
        return target

    def save(self, path: str | Path) -> Path:
        """Write the records to a file; its ending says how.

        ``.parquet`` and ``.json`` hold whole records (the first is read back by :func:`modelstitch.open`), ``.csv`` the tidy frame.

        Raises:
            StudyError: there are none, the ending is another one, or the file cannot be written.
        """
        from .report.figures.marks import weights_of, with_weights
        from .study.parquet import records_to_parquet
        from .support.files import write_text
        from .support.hashing import sealed

        target = Path(path)
        if target.suffix not in TABLES:
            raise StudyError(f"The target {target} is neither .parquet, .csv nor .json: choose one of the three.")
        if not self.records:
            raise StudyError(
                f"There is nothing to export to {target}: expected finished cells, found none; run the study."
            )
        if target.suffix == ".parquet":
            records_to_parquet(self.records, target)
        elif target.suffix == ".csv":
            write_text(target, with_weights(self.frame, weights_of(self.records)).write_csv())
        else:
            whole = sealed({"spec": self.spec, "records": [record.plain() for record in self.records]})
            write_text(target, json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
        return target

    def _repr_html_(self) -> str:
        from .report.figures.svg import to_svg

        return to_svg(self.figure("penalty"))


def _pairs(records: Sequence[Record]) -> list[tuple[str, str]]:
    found = dict.fromkeys((r.bottom.name, r.top.name) for r in records if r.control == "pair")
    return sorted(found)
