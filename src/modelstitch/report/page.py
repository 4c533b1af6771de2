"""One self-contained, inert HTML page from a study's records: no script, nothing fetched, names escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ..errors import StudyError
from ..records.record import Record, Setting, as_records
from ..study.spec import StudySpec
from ..support.shown import visible, without_folders
from . import tables
from .figures.heatmaps import matrix_figure
from .figures.pair import ladder_figure, penalty_figure, penalty_limits, samples_figure, scatter_figure
from .figures.style import plain
from .figures.svg import to_svg
from .frame import frame, has_matrix, leveled, measured, pairs, panel, scale_in, settings, unit_of
from .marks import marked
from .pooled import pooled, ratios, settled
from .sample_page import sample_section
from .sentences import findings as words
from .sentences import warnings as doubts
from .sentences.findings import answers, said_once

if TYPE_CHECKING:
    from ..data.shown import Shown

_MEASURES = ("cka", "r2", "cca", "procrustes")
_MOST_TABLES = 400  # cells of a matrix that is still written out as a table


def page(
    records: Sequence[Mapping[str, Any]],
    *,
    title: str,
    spec: StudySpec | Mapping[str, Any] | None = None,
    command: str | None = None,
    missing: int = 0,
    cautions: Sequence[str] = (),
    shown: Shown | None = None,
) -> str:
    """Write the report of a study.

    Args:
        records: as ``modelstitch.study.store.Store.records`` gives them.
        title: heading of the page; untrusted, as all names are.
        spec: the study's spec, shown in full.
        command: the command that made the records, shown among their provenance.
        missing: how many cells of the study are not finished.
        cautions: what a reader has to know of all of them.
        shown: gives images or texts of test samples, where data are at hand.

    Returns:
        The whole HTML document.

    Raises:
        StudyError: no record holds a stitched pair.
    """
    from markupsafe import Markup

    records = marked(as_records(records))
    table = leveled(settled(frame(records), records))
    found = settings(measured(table))
    if not found:
        raise StudyError(
            "There is nothing to report: expected at least one finished cell of a pair with a penalty, "
            f"found {len(records)} records without; run the study first."
        )
    lead, drawn = found[0], Drawings(Markup)
    sections = [_section(table, records, bottom, top, lead, drawn) for bottom, top in pairs(table)]
    shared, rest = said_once([(section["name"], section["warnings"]) for section in sections])
    for section, own in zip(sections, rest):
        section["warnings"] = own
    unit = unit_of(table)
    return render(
        "page.html",
        title=plain(title),
        summary=_summary(table, len(shared) + sum(map(len, rest)), len(sections), lead, found, missing),
        answer=answers([(section["name"], panel(table, *pair, lead)) for section, pair in zip(sections, pairs(table))]),
        shared=shared,
        donors=tables.donors_table(records),
        overview=tables.overview_table((b, t, panel(table, b, t, lead)) for b, t in pairs(table)),
        sections=sections,
        reading=words.how_to_read(unit, scale_in(table), words.task_of(records)),
        over_pairs=_over_pairs(records, lead),
        scatters=_scatters(table, lead, drawn),
        samples=sample_section(records, lead, drawn.add, shown),
        provenance=tables.provenance_table(records, None if command is None else without_folders(command)),
        notes=tables.notes_table(records, cautions),
        spec=_spec_text(spec),
    )


def render(name: str, **values: Any) -> str:
    """A page from its template, everything that is put into it escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("modelstitch", "report")
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    text: str = made.get_template(name).render(**values)
    return text


class Drawings:
    """Figures made so far, so that each gets ids of its own. Markup marks them as ours, not to be escaped."""

    def __init__(self, markup: Any) -> None:
        self._markup = markup
        self._count = 0

    def add(self, figure: Any, title: str) -> Any:
        self._count += 1
        return self._markup(to_svg(figure, title=title, prefix=f"f{self._count}-"))


def _section(
    table: pl.DataFrame, records: Sequence[Record], bottom: str, top: str, lead: Setting, drawn: Drawings
) -> dict[str, Any]:
    rows = panel(table, bottom, top, lead)
    everything = panel(table, bottom, top)
    name = f"{plain(bottom)} → {plain(top)}"
    section: dict[str, Any] = {
        "name": name,
        "findings": words.findings(rows),
        "warnings": [*doubts.cautions(records, bottom, top), *doubts.warnings(rows)],
        "figure": None,
        "penalties": tables.penalty_table(
            rows, f"{name}: penalty and controls at each layer", ratios(records, bottom, top, lead)
        ),
        "samples": None,
        "samples_table": None,
        "ladder": None,
        "matrix": None,
        "matrices": [],
        "ladder_table": None,
    }
    found = measured(rows)
    if not found.is_empty():
        limits = penalty_limits(table)
        figure = penalty_figure(rows, bottom, top, limits=limits)
        section["figure"] = drawn.add(figure, f"Penalty against depth, {name}")
    sizes = everything.filter(
        *(pl.col(key).eq_missing(pl.lit(value)) for key, value in lead._asdict().items() if key != "samples")
    ).filter(pl.col("control") == "pair")
    if measured(sizes)["samples"].drop_nulls().n_unique() > 1:
        section["samples"] = drawn.add(samples_figure(sizes, bottom, top), f"Penalty against fit examples, {name}")
        section["samples_table"] = tables.samples_table(sizes, f"{name}: penalty by fit examples of the stitcher")
    same = everything.filter(pl.col("objective").eq_missing(pl.lit(lead.objective, dtype=pl.String)))
    same = same.filter(pl.col("samples").eq_missing(pl.lit(lead.samples, dtype=pl.Int64)))
    same = same.filter(pl.col("control") == "pair")
    if measured(same)["family"].n_unique() > 1:
        section["ladder"] = drawn.add(ladder_figure(same, bottom, top), f"Penalty by family, {name}")
        section["ladder_table"] = tables.ladder_table(same, f"{name}: penalty by family, {lead.objective}")
    if has_matrix(rows):
        section["matrix"] = drawn.add(matrix_figure(rows, bottom, top), f"Every layer to every layer, {name}")
        own = rows.filter(pl.col("control") == "pair")
        if own["bottom_layer"].n_unique() * own["top_layer"].n_unique() <= _MOST_TABLES:
            present = [m for m in ("penalty", "cka", "r2") if m in own["metric"].to_list()]
            section["matrices"] = [
                tables.matrix_table(rows, m, f"{name}: {m}, bottom layers by top layers") for m in present
            ]
    return section


def _over_pairs(records: Sequence[Record], lead: Setting) -> tables.Table | None:
    """The table over all pairs, where there are several with the same layers."""
    rows = pooled(records)
    if rows.is_empty() or not rows.filter((pl.col("control") == "pair") & (pl.col("pairs") > 1)).height:
        return None
    same = pl.all_horizontal(*(pl.col(key).eq_missing(pl.lit(value)) for key, value in lead._asdict().items()))
    return tables.pooled_table(rows.filter(same & (pl.col("bottom_layer") == pl.col("top_layer"))))


def _scatters(table: pl.DataFrame, lead: Setting, drawn: Drawings) -> list[Any]:
    """Penalty against each measure over all pairs, where at least five seams have both."""
    rows = pl.concat([panel(table, bottom, top, lead) for bottom, top in pairs(table)])
    own = rows.filter(pl.col("control") == "pair")
    known = [m for m in _MEASURES if len(own.filter((pl.col("metric") == m) & pl.col("value").is_not_null())) >= 5]
    return [drawn.add(scatter_figure(own, m), f"Penalty against {m}") for m in known]


def _summary(
    table: pl.DataFrame, warned: int, n_pairs: int, lead: Setting, found: Sequence[Setting], missing: int
) -> str:
    own = table.filter(pl.col("control") == "pair")
    networks = len(set(own["bottom"].to_list()) | set(own["top"].to_list()))
    others = f"; other settings measured: {len(found) - 1}" if found[1:] else ""
    samples = f", {lead.samples:,} fit examples" if len({setting.samples for setting in found}) > 1 else ""
    counts = {
        "network": networks,
        "ordered pair": n_pairs,
        "layer": own["top_layer"].n_unique(),
        "cell": table["cell"].n_unique(),
    }
    counted = ", ".join(f"{n} {what}{'' if n == 1 else 's'}" for what, n in counts.items())
    counted += f" ({missing:,} more are missing: the study has not ended)" if missing else ""
    return f"{counted}. Shown: {plain(lead)}{samples}{others}. Warnings: {warned}."


def _spec_text(spec: StudySpec | Mapping[str, Any] | None) -> str:
    if spec is None:
        return ""
    values = spec.identity() if isinstance(spec, StudySpec) else dict(spec)
    lines = json.dumps(values, indent=2, ensure_ascii=False, default=str).splitlines()
    return "\n".join(without_folders(plain(line)) for line in lines)
