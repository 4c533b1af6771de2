"""The gallery: for every figure its records, drawing and page. Nothing on them is typed by hand.

    DIR/<figure>.parquet    the records: all that is needed to draw and judge again
    DIR/<figure>.svg, .md   made from them

Torch-free: ``modelstitch paper all --redraw DIR`` needs no training and no data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import modelstitch as ms

from ..report import Point, number, plain, to_svg
from ..study import Record
from ..support.files import make_folder, write_text
from . import values
from .claims import amount
from .curves import ENOUGH, SYMMETRIC, Curves, Series, every_protocol, failed
from .drawings import draw
from .figure import Figure, Line, Word
from .judged import ONCE, as_run, judged, records_of, verdicts
from .matrix import bottoms, table
from .protocols import PROTOCOLS
from .provenance import how_made

_MERGED = " One pair measured in both directions is one fit."
LOST = 5.0  # points: class-noise that costs more was not told apart by its map
_PENALTIES = (
    "In points of test error, with 95 % intervals: test examples drawn anew, paired; with several fits, pairs of "
    "networks are drawn first (both directions of one pair together), then fits. Fits: how many stand behind each "
    "value. Triangles at the edge of the drawing: values beyond it."
)
_SELF = (
    "A self of 0.0 is no measurement of the fit: the closed form of a network into itself is the identity, and it is "
    "kept where no later step is better on the validation split."
)
_METRICS = {
    "cka_linear_biased": "Linear CKA",
    "cka_linear_debiased": "Debiased linear CKA",
    "error": "Test error",
    "barrier": "Barrier",
}
_WAYS = {"fine-tune": " after fine-tuning", "freeze": " after freeze-training", "path": " along the straight line"}
_SHOWN = ("pair", "self", "random", "class-noise", "identity")


def keep(records: Sequence[Record], figure: Figure, folder: Path) -> Path:
    """Write a figure's records and its page into the gallery."""
    make_folder(folder)
    slim = [{k: _without_answers(v) if k == "examples" else v for k, v in r.items() if k != "history"} for r in records]
    ms.Results(slim, {}).save(folder / f"{figure.name}.parquet")
    return write_page(figure, folder)


def _without_answers(examples: Any) -> Any:
    """What intervals need of test examples: who erred, without answers and losses, which take nine tenths of a file."""
    return examples and {key: value for key, value in examples.items() if key != "answers"}


def write_page(figure: Figure, folder: Path) -> Path:
    """Draw and write a figure's page from its records.

    Raises:
        StudyError: if its records are not there.
    """
    records = records_of(figure, folder)
    figure = as_run(figure, records)
    every = every_protocol(records, PROTOCOLS)
    drawn = to_svg(draw(figure, records, every), title=figure.title)
    write_text(folder / f"{figure.name}.svg", drawn)
    page = folder / f"{figure.name}.md"
    write_text(page, "\n".join(_page(figure, records, every)) + "\n")
    return page


def summary(figure: Figure, records: Sequence[Record], page: Path) -> list[str]:
    """A figure in lines for a terminal: its title, its verdicts, where its page is."""
    told = [
        f"  {claim}\n    {protocol}: {verdict.word}. {verdict.sentence}"
        for claim, protocol, verdict in verdicts(figure, records)
    ]
    return [f"Figure {figure.name}: {figure.title}", *told, f"  {page}"]


def _page(figure: Figure, records: Sequence[Record], every: Mapping[str, Curves]) -> list[str]:
    setting = figure.setting if figure.setting.startswith("The paper") else f"The paper's setting: {figure.setting}"
    lines = [
        f"# {_heading(figure)}",
        "",
        _opening(figure, records, every),
        "",
        values.minus(setting),
        "",
        f"![{figure.title}]({figure.name}.svg)",
        "",
    ]
    lines += ["## Verdicts", ""]
    for claim in figure.claims:
        lines += [f"**{claim.text}** Refuted by {claim.refuted_by}.", ""]
        found_by = judged(claim, every)
        for name, found in found_by:
            how = name if name == ONCE else f"{name} protocol"
            lines.append(f"- {how}: **{found.word}**. {plain(found.sentence)}")
        lines += [f"- {name} protocol: not run." for name in claim.protocols if not found_by]
        lines.append("")
    for note in figure.notes:
        lines += [note, ""]
    lines += _so_far(figure, every)
    for name in PROTOCOLS:
        lines += _penalty_tables(figure, every[name], name)
        lines += _excess_table(figure, every[name], name) if figure.excess else []
    shared = every[next(iter(PROTOCOLS))]
    lines += _probe_tables(figure, shared) + _matrix_tables(figure, shared)
    lines += _networks(records)
    return [*lines, *how_made(figure, records)]


_ORDER: tuple[Word, ...] = ("holds", "holds in part", "not shown", "contrary", "not measured")


def _opening(figure: Figure, records: Sequence[Record], every: Mapping[str, Curves]) -> str:
    """The page in one sentence: how many claims got which word, and our number for the first beside the paper's."""
    verdicts = {claim.text: found[0][1] for claim in figure.claims if (found := judged(claim, every))}
    words = [verdict.word for verdict in verdicts.values()]
    where = "networks that were given" if records[0].tags.get("own") else f"scale `{records[0].tags['scale']}`"
    first = next(((text, verdict.number) for text, verdict in verdicts.items() if verdict.number), None)
    return f"On {where}, of {len(words)} claim{'s' * (len(words) != 1)}: {counts(words)}{_beside(figure, first)}."


def _beside(figure: Figure, first: tuple[str, str] | None) -> str:
    """Our number for a claim and the paper's, as the end of a sentence."""
    if first is None:
        return ""
    text, number = first
    paper = values.said(figure.name, text)
    which = "the first" if text == figure.claims[0].text else f'"{text.rstrip(".")}"'
    return f"; nearest to refuting {which} is {number}{'' if paper == '-' else f', beside the paper: {paper}'}"


def counts(words: Sequence[Word]) -> str:
    """How many claims got each word, "2 hold and 1 is contrary"."""
    found = [_said(words.count(word), word) for word in _ORDER if word in words]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found) or "none was judged"


def _said(n: int, word: Word) -> str:
    """So many claims of a word, "2 hold in part" or "1 is contrary"."""
    if word.startswith("holds"):
        return f"{n} {word if n == 1 else word.replace('holds', 'hold', 1)}"
    return f"{n} {'is' if n == 1 else 'are'} {word}"


def _so_far(figure: Figure, every: Mapping[str, Curves]) -> list[str]:
    """Curves of which some pairs, or all, are still to be measured, a sentence for all that are as far."""
    found: dict[tuple[int, int, str], list[str]] = {}
    gone: dict[str, list[str]] = {}
    for line in figure.lines:
        for name, curves in every.items():
            members = curves.select(line.label)
            if name in line.protocols and curves.ran and not members:
                gone.setdefault(name, []).append(line.label)
            pairs = {(r.bottom.name, r.top.name) for r in members}
            whole = len(line.pairs) or max((r.tags.get("pairs", 0) for r in members), default=0)
            if name in line.protocols and 0 < len(pairs) < whole:
                found.setdefault((whole, len(pairs), name), []).append(line.label)
    lines: list[str] = []
    for (whole, there, name), labels in found.items():
        n = f"{there} {'is' if there == 1 else 'are'}"
        told = f"Of {whole} pairs, {n} measured so far: {', '.join(labels)}, {name} protocol."
        lines += [f"{told} The same command does the rest.", ""]
    for name, labels in gone.items():
        lines += [f"Not measured here: {', '.join(labels)}, {name} protocol.", ""]
    return lines


def _heading(figure: Figure) -> str:
    number = f"Figure {figure.name.partition('-')[0].upper()}: " if figure.name[0].isdigit() else ""
    return f"{number}{figure.title}"


def _penalty_tables(figure: Figure, curves: Curves, name: str) -> list[str]:
    """One table for all curves over the same layers; controls stand under the curve they belong to."""
    rows: dict[tuple[str, ...], list[list[str]]] = {}
    shown: set[tuple[str, str]] = set()
    for line in figure.lines:
        for points, words in _penalty_rows(line, curves, shown):
            cells = [words, str(max(p.seeds for p in points)), *map(amount, points)]
            rows.setdefault(tuple(p.layer for p in points), []).append(cells)
    if not rows:
        return []
    lines = [f"## Penalties, {name} protocol", "", PROTOCOLS[name].words, ""]
    for layers, body in rows.items():
        lines += [*table_lines(["curve", "fits", *layers], body), ""]
    lines += [_PENALTIES, ""]
    if lost := _lost(figure, curves):
        lines += [
            f"Class-noise is a positive null: it says something where its own fit succeeds. It failed, and says "
            f"nothing, at {', '.join(lost)}: more than {LOST:g} points, interval included.",
            "",
        ]
    if name == "honest" and any("self, " in row[0] for body in rows.values() for row in body):
        lines += [_SELF, ""]
    return lines


def _excess_table(figure: Figure, curves: Curves, name: str) -> list[str]:
    """What a stitched model errs above the worse of its two networks: the penalty less what their gap explains."""
    rows: dict[tuple[str, ...], list[list[str]]] = {}
    for line in (line for line in figure.lines if not line.bottom.change):  # a random bottom explains everything
        series = (Series(line.label, metric) for metric in ("error", "bottom_error", "top_error"))
        points = sorted(
            curves.combined(lambda whole, *ends: whole - max(ends), *series, unit="points").values(),
            key=lambda p: p.depth,
        )
        if points:
            cells = [line.label, str(points[0].seeds), *map(amount, points)]
            rows.setdefault(tuple(p.layer for p in points), []).append(cells)
    if not rows:
        return []
    lines = [f"## Above the worse of the two networks, {name} protocol", ""]
    for layers, body in rows.items():
        lines += [*table_lines(["curve", "fits", *layers], body), ""]
    return [
        *lines,
        "The error of the stitched model less that of its bottom network or its top network, whichever errs more: the "
        f"penalty less what the gap of the two explains. Brackets: the lowest and the highest of the fits; no interval "
        f"below {ENOUGH} fits.",
        "",
    ]


def _penalty_rows(line: Line, curves: Curves, shown: set[tuple[str, str]]) -> Iterator[tuple[list[Point], str]]:
    """The places of a curve and of its controls, each with its name; what belongs to a top stands once for it."""
    families = curves.families(line.label)
    several = families if len(families) > 1 else [None]
    for control in _SHOWN:
        members = curves.select(line.label, control)
        if not members or (line.layers == "grid" and control == "pair"):  # a grid has a table of its own
            continue
        of = _top_of(line, members)
        of_the_top = control in ("self", "class-noise")
        if of_the_top and (control, of) in shown and several == [None]:
            continue
        words = line.label if control == "pair" else f"{control}, {of}"
        for family in several:
            if points := curves.places(line.label, control=control, family=family):
                shown |= {(control, of)} if of_the_top else set()
                yield points, f"{words}, {family}" if family else words


def _top_of(line: Line, members: Sequence[Record]) -> str:
    """The top of a curve; without its seed where there are several."""
    tops = {member.top.name for member in members}
    if len(tops) == 1:
        return members[0].top.name
    return line.top.net if line.pairs else re.sub(r", seed \d+$", "", members[0].top.name)


def _lost(figure: Figure, curves: Curves) -> list[str]:
    """Where fits of class-noise failed, "block3 (under base)"; it belongs to a top, whatever the bottom is."""
    found: dict[str, None] = {}
    for line in figure.lines:
        families = curves.families(line.label)
        tops = {re.sub(r", seed \d+$", "", m.top.name) for m in curves.select(line.label, "class-noise")}
        under = line.top.net if line.pairs and len(tops) > 1 else " and ".join(sorted(tops))
        for family in families if len(families) > 1 else [None]:
            for p in curves.places(line.label, control="class-noise", family=family):
                if failed(p) or p.low > LOST:
                    found[f"{p.layer} (under {under}{f', {family}' if family else ''})"] = None
    return list(found)


def _probe_tables(figure: Figure, curves: Curves) -> list[str]:
    lines: list[str] = []
    for kind in dict.fromkeys(p.kind for p in figure.probes if p.kind != "matrix"):
        labels = [p.label for p in figure.probes if p.kind == kind]
        records = [record for label in labels for record in curves.select(label, kind)]
        for metric in dict.fromkeys(m.name for record in records for m in record.metrics):
            lines += _probe_table(kind, metric, labels, curves)
    return lines


def _probe_table(kind: str, metric: str, labels: Sequence[str], curves: Curves) -> list[str]:
    """One metric of the probes of a kind: a table for all that have the same layers."""
    rows: dict[tuple[str, ...], list[list[str]]] = {}
    ranges, nothing = False, True
    for label in labels:
        for family in dict.fromkeys(r.family for r in curves.select(label, kind)):
            points = curves.places(label, metric, kind, family)
            if all(map(failed, points)):
                continue
            digits = _digits(metric, points)
            ranges |= any(p.low < p.high for p in points)
            nothing &= digits == 2 and all(max(abs(p.low), abs(p.high)) < 0.005 for p in points)
            cells = [f"{label}, {family}" if family else label, str(points[0].seeds)]
            rows.setdefault(tuple(p.layer for p in points), []).append([*cells, *(amount(p, digits) for p in points)])
    if not rows:
        return []
    lines = [f"## {_said_of(metric, kind)}", ""]
    if nothing:
        return [*lines, "0.00 at all places, in all fits.", ""]
    for layers, body in rows.items():
        lines += [*table_lines(["", "fits", *layers], body), ""]
    if ranges:
        told = f"Brackets: the lowest and the highest of the fits; no interval below {ENOUGH} fits."
        lines += [told + _MERGED * (kind in SYMMETRIC), ""]
    return lines


def _said_of(metric: str, kind: str) -> str:
    """What a table of a probe shows, in words."""
    name, of, rest = metric.partition(" of ")
    return f"{_METRICS.get(name, plain(name))}{of}{rest}{_WAYS.get(kind, '')}"


def _digits(metric: str, points: Sequence[Point]) -> int:
    """Behind the point: two for shares."""
    return 2 if metric != "barrier" and max(abs(p.value) for p in points if not failed(p)) <= 1 else 1


def _matrix_tables(figure: Figure, curves: Curves) -> list[str]:
    """The penalty of every bottom layer (rows) under every top layer (columns)."""
    lines: list[str] = []
    asked = [(line.label, "pair") for line in figure.lines if line.layers == "grid"]
    asked += [(probe.label, probe.kind) for probe in figure.probes if probe.kind == "matrix"]
    for label, control in asked:
        found = table(curves, label, control)
        if not found:
            continue
        cells = {(top, cell["bottom"]): cell for top, column in found.items() for cell in column}
        body = [[bottom, *(_cell(cells.get((top, bottom))) for top in found)] for bottom in bottoms(found)]
        lines += [f"## Penalty, {label}", "", *table_lines(["bottom up to", *(f"top from {t}" for t in found)], body)]
        lines += ["", "Brackets: the 95 % interval of the fit; of several fits the lowest and the highest end.", ""]
    return lines


def _cell(cell: dict[str, Any] | None) -> str:
    """One value of a matrix with its interval; a dash where nothing was measured."""
    if cell is None:
        return "-"
    if math.isnan(cell["value"]):
        return "failed"
    value, low, high = (number(cell[name], 1, signed=True) for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _networks(records: Sequence[Record]) -> list[str]:
    rows, files = [], False
    for name, record in Curves(records, "").donors().items():
        found = {m.name: m.known for m in record.metrics}
        error = number(found["error"], 1) if "error" in found else "other task"
        given = record.provenance.get("weights", "")
        if given.startswith("random"):  # what a given network was drawn anew as
            continue
        files |= bool(given)
        digest = given.rpartition("sha256 ")[2].partition(",")[0] if given else record.bottom.fingerprint
        rows.append([name, f"`{record.provenance['net']}`", f"{found['parameters']:,.0f}", error, digest or "-"])
    head = ["network", "architecture", "parameters", "test error, %", "sha256" if files else "fingerprint"]
    return ["## The networks", "", *table_lines(head, rows), ""]


def table_lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [_row(head), "|---" * len(head) + "|", *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(plain(c).replace("|", "/") for c in cells) + " |"


__all__ = ["counts", "keep", "summary", "table_lines", "write_page"]
