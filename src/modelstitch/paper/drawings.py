"""The drawing of a figure from its records: one panel a protocol, the paper's values beside them. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..report import Point, drawn, heat_map, penalty_axis, scale_of, sheet, short
from ..study import Record
from . import values
from .cka import CKA
from .curves import Curves, every_protocol
from .figure import Figure, Line, Probe
from .matrix import bottoms, table
from .protocols import PROTOCOLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

# Okabe and Ito (2008), then two greys and a brown; dashes and markers say the same without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B0568A", "#A07800", "#56B4E9", "#444444", "#8B4513", "#999999", "#E6AB02")
MARKS = "os^Dvx*P<>"
DEPTH = "depth (ours: of operations; the paper: of layers)"
Limits = tuple[float, float]
Panel = Callable[[Any], Limits | None]  # draws into axes; the penalties' limits, where it shows any
Looks = Mapping[str, tuple[str, str]]


def draw(figure: Figure, records: Sequence[Record], every: Mapping[str, Curves] | None = None) -> Drawing:
    """The whole figure: a panel for each protocol that was run, one for the paper's values, others as the figure asks.

    Args:
        every: the curves of the records, where they are at hand.
    """
    every = every or every_protocol(records, PROTOCOLS)
    groups = _groups(figure)
    probed = [p.label for p in figure.probes]
    counted = (
        [*groups, probed] if len(groups) > 1 else [[*groups[0], *probed]]
    )  # what is looked at apart may look alike
    looks = {
        name: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)])
        for names in counted
        for i, name in enumerate(dict.fromkeys(names))
    }
    panels = [
        panel
        for name in PROTOCOLS
        for labels in groups
        if (panel := _stitched(figure, every[name], labels, looks)) is not None
    ]
    shared = every[next(iter(PROTOCOLS))]
    panels += [panel for kind in PROBED if (panel := kind(figure, shared, looks)) is not None]
    panels += _matrices(figure, shared)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with drawn():
        height = 2.9 * rows + 0.22 * -(-len(looks) // columns) + 0.2
        fig = sheet(max(4.8, 3.5 * columns), height, layout="constrained")
        places = [fig.add_subplot(rows, columns, at + 1) for at in range(len(panels))]
        limits = {axes: panel(axes) for axes, panel in zip(places, panels)}
        _on_one_scale({axes: ends for axes, ends in limits.items() if ends is not None})
        _legend(fig, columns)
    return fig


def _legend(fig: Drawing, columns: int) -> None:
    """One for all panels, below them."""
    handles: dict[str, Any] = {}
    for axes in fig.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    if handles:
        fig.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize=7.5,
            handlelength=3.0,
        )


def _on_one_scale(penalties: Mapping[Any, Limits]) -> None:
    """Axes of penalties alike, so that they can be compared by eye."""
    for axes in penalties:
        low, high = min(0.0, *(low for low, _ in penalties.values())), max(high for _, high in penalties.values())
        axes.axhline(0, color="#9A9A9A", lw=0.8, zorder=0)
        penalty_axis(axes, min(-3.0, low) * 1.15, max(10.0, high) * 1.3, "points")
        for line in list(axes.lines):
            _at_the_edge(axes, line)


def _at_the_edge(axes: Any, line: Any) -> None:
    """Mark what lies beyond the panel at its edge, so that every place is there to see."""
    x, y = map(np.asarray, line.get_data())
    if line.get_marker() in ("None", None, ""):
        return
    for edge, beyond, mark in ((axes.get_ylim()[0], np.less, "v"), (axes.get_ylim()[1], np.greater, "^")):
        if len(at := x[beyond(y, edge)]):
            (marks,) = axes.plot(at, np.full(len(at), edge), mark, color=line.get_color(), ms=3.5, clip_on=False)
            marks.set_in_layout(False)


def _groups(figure: Figure) -> list[list[str]]:
    """The labels of the curves of each panel: "both ways" sets those under the first curve's kind of top apart."""
    labels = list(dict.fromkeys(line.label for line in figure.lines))
    if figure.drawing != "both ways":
        return [labels]
    first = replace(figure.lines[0].top, seed=0)
    under = [line.label for line in figure.lines if replace(line.top, seed=0) == first]
    return [under, [label for label in labels if label not in under]]


def _stitched(figure: Figure, curves: Curves, labels: Sequence[str], looks: Looks) -> Panel | None:
    shown = [label for label in labels if curves.points(label)]
    if not shown or not curves.ran or figure.drawing == "matrix":
        return None
    kind = {"bars": _bars, "families": _by_family}.get(figure.drawing, _by_depth)
    return kind(figure, curves, shown, looks)


def _by_depth(figure: Figure, curves: Curves, shown: Sequence[str], looks: Looks) -> Panel:
    """Penalty against depth, with the controls of the first curve's top."""
    tops = {replace(line.top, seed=0) for line in figure.lines if line.label in shown}
    under = "" if len(tops) == 1 else f", top of '{shown[0]}'"

    def panel(axes: Any) -> Limits:
        every: list[Point] = []
        for label in shown:
            families = curves.families(label)
            for at, family in enumerate(families if len(families) > 1 else [None]):
                points = curves.points(label, family=family)
                _line(axes, points, looks[label], None if at else label, band=True)
                every += points
        for control, dash in (("self", ":"), ("class-noise", "-.")):
            if points := curves.points(shown[0], control=control):
                _line(axes, points, ("#555555", "."), control + under, ls=dash, lw=1)
                every += points if control == "self" else []  # class-noise that was not fitted leaves the panel
        _beside(axes, {line.label: line.paper for line in figure.lines if line.label in shown}, looks)
        if figure.paper_range:
            axes.axhspan(*figure.paper_range, color="#CCCCCC", alpha=0.35, lw=0, label="the paper's pairs, all layers")
        tops_of = {"both ways": ", as bottoms" if len(tops) == 1 else ", as tops"}
        _along_depth(axes, f"{curves.protocol} protocol{tops_of.get(figure.drawing, '')}")
        known = [y for line in figure.lines if line.label in shown for _, y in values.penalties(line.paper)]
        low, high = _limits(every)
        return min([low, *known]), max([high, *known])

    return panel


def _bars(figure: Figure, curves: Curves, shown: Sequence[str], looks: Looks) -> Panel:
    """One value a curve: they were measured at one place."""

    def panel(axes: Any) -> Limits:
        points = [curves.points(label)[0] for label in shown]
        for at, (label, point) in enumerate(zip(shown, points)):
            axes.bar(at, point.value, color=looks[label][0], width=0.7, label=label)
            axes.vlines(at, point.low, point.high, color="#222222", lw=1)
        _in_order(axes, [""] * len(shown), "", f"{curves.protocol} protocol, one middle layer", 0.6)
        axes.set_xticks([])
        return _limits(points)

    return panel


def _by_family(figure: Figure, curves: Curves, shown: Sequence[str], looks: Looks) -> Panel:
    """Penalty against the size of the map, one line a layer."""
    families = curves.families(shown[0])

    def panel(axes: Any) -> Limits:
        layers: dict[str, list[tuple[int, Point]]] = {}
        for at, family in enumerate(families):
            for point in (p for label in shown for p in curves.points(label, family=family)):
                layers.setdefault(point.layer, []).append((at, point))
        for (layer, places), *look in zip(layers.items(), COLOURS, MARKS):
            x, points = zip(*places)
            _line(axes, points, (look[0], look[1]), layer, x, bars=True)
        _in_order(axes, families, "kernel of the map", f"{curves.protocol} protocol", 0.2)
        return _limits(p for places in layers.values() for _, p in places)

    return panel


def _beside(axes: Any, papers: Mapping[str, str], looks: Looks) -> None:
    """The paper's curves, dashed and with open marks, in the colours of ours."""
    for label, paper in papers.items():
        if series := values.penalties(paper):
            _known(axes, looks[label], series, _papers(label))


def _similarities(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    probes = [p for p in figure.probes if p.kind == "similarity" and curves.points(p.label, CKA, "similarity")]
    if not probes:
        return None

    def panel(axes: Any) -> None:
        for probe in probes:
            _line(axes, curves.points(probe.label, CKA, "similarity"), looks[probe.label], probe.label, band=True)
            null = curves.points(probe.label, f"{CKA} of shuffled pairs", "similarity")
            _line(axes, null, (looks[probe.label][0], ""), ls=":", lw=1)
            if known := values.series(probe.paper):  # by the index of the layer
                last = max(at for at, _ in known)
                _known(axes, looks[probe.label], [(at / last, value) for at, value in known], _papers(probe.label))
        axes.set_ylim(-0.03, 1.03)
        _along_depth(axes, "CKA")
        axes.set_ylabel("linear CKA (dotted: shuffled pairs)")

    return panel


def _errors(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    """Test errors of networks trained anew, beside those of stitched ones."""
    asked = [(p.label, p.kind) for p in figure.probes if p.kind in ("fine-tune", "freeze")]
    rows = {label: found for label, kind in asked if (found := curves.points(label, "error", kind))}
    three = [line.label for line in figure.lines if line.layers == "three"]
    rows |= {label: found for label in three if rows and (found := curves.points(label, "error"))}
    if not rows:
        return None

    def panel(axes: Any) -> None:
        layers = list(dict.fromkeys(p.layer for points in rows.values() for p in points))
        for label, points in rows.items():
            _line(axes, points, looks[label], label, [layers.index(p.layer) for p in points], bars=True)
        _in_order(axes, layers, "frozen up to" if figure.name == "8" else "layers kept frozen", "test error", 0.3)
        parts: list[Line | Probe] = [*figure.lines, *figure.probes]
        known = {part.label: found for part in parts if (found := values.errors(part.paper))}
        if known:
            above = axes.twiny()
            for label, series in known.items():
                _known(above, looks[label], series, _papers(label))
            above.set_xlabel("the paper's ResNet-164: block")
        _errors_up(axes)

    return panel


def _paths(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    """The error along the straight line between two networks' weights."""
    rows = [
        (probe.label, way, points)
        for probe in figure.probes
        if probe.kind == "path"
        for way in dict.fromkeys(r.family for r in curves.select(probe.label, "path"))
        if (points := curves.points(probe.label, "error", "path", way))
    ]
    if not rows:
        return None
    dashes = dict(zip(dict.fromkeys(way for _, way, _ in rows), (":", "--", "-")))

    def panel(axes: Any) -> None:
        for label, way, points in rows:
            _line(axes, points, looks[label], f"{label}, {way}", ls=dashes[way])
        _named(axes, "share of the second network's weights", "", "along the straight line")
        _errors_up(axes)

    return panel


def _matrices(figure: Figure, curves: Curves) -> list[Panel]:
    """The penalty of every bottom layer under every top layer, a panel a table."""
    asked = [(probe.label, "matrix") for probe in figure.probes if probe.kind == "matrix"]
    asked += [(line.label, "pair") for line in figure.lines if line.layers == "grid"]
    return [_matrix(label, found) for label, control in asked if (found := table(curves, label, control))]


def _matrix(label: str, found: Mapping[str, list[dict[str, Any]]]) -> Panel:
    def panel(axes: Any) -> None:
        rows = bottoms(found)
        cells = {(top, c["bottom"]): c["value"] for top, column in found.items() for c in column}
        heat_map(axes, np.array([[cells.get((top, row), np.nan) for top in found] for row in rows]), scale_of("points"))
        axes.set_xticks(range(len(found)), [short(t, 8) for t in found], rotation=90)
        axes.set_yticks(range(len(rows)), [short(row, 8) for row in rows])
        _named(axes, "top from", "bottom up to", label)

    return panel


PROBED: list[Callable[[Figure, Curves, Looks], Panel | None]] = [
    _similarities,
    _errors,
    _paths,
]


def _line(
    axes: Any,
    points: Sequence[Point],
    look: tuple[str, str],
    label: str | None = None,
    x: Sequence[float] | None = None,
    *,
    ls: str = "-",
    lw: float = 1.5,
    band: bool = False,
    bars: bool = False,
) -> None:
    """One curve, at its depths unless said otherwise, its intervals as a band or as bars."""
    colour, mark = look
    x = [p.depth for p in points] if x is None else x
    low, high = [p.low for p in points], [p.high for p in points]
    axes.plot(x, [p.value for p in points], ls, color=colour, marker=mark, ms=3.5, lw=lw, label=label)
    if bars:
        axes.vlines(x, low, high, color=colour, lw=1)
    if band and len(points) > 1:
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)


def _known(axes: Any, look: tuple[str, str], series: Sequence[tuple[float, float]], label: str) -> None:
    """Values of the paper."""
    colour, mark = look
    axes.plot(*zip(*series), "--", color=colour, marker=mark, mfc="white", ms=3.5, lw=1.0, label=label)


def _papers(label: str) -> str:
    return f"{label}, the paper"


def _limits(points: Iterable[Point]) -> Limits:
    ends = [end for p in points for end in (p.low, p.high)]
    return min(ends), max(ends)


def _named(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left")


def _along_depth(axes: Any, title: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    _named(axes, DEPTH, "", title)


def _in_order(axes: Any, names: Sequence[str], x: str, title: str, room: float) -> None:
    axes.set_xlim(-room, len(names) - 1 + room)
    axes.set_xticks(range(len(names)), [short(name, 14) for name in names])
    _named(axes, x, "", title)


def _errors_up(axes: Any) -> None:
    axes.set_ylim(0, None)
    axes.set_ylabel("test error, %")
