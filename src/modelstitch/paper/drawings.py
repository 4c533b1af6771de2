"""The drawing of a figure from its records: one panel a protocol, the paper's values beside them. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..report.figures.style import RC, number, short
from ..report.frame import Point
from ..study.record import Record, as_records
from . import values
from .cka import CKA
from .curves import Curves, every_protocol
from .figure import Figure
from .protocols import PROTOCOLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

# Okabe and Ito (2008), then two greys and a brown; dashes and markers say the same without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B0568A", "#A07800", "#56B4E9", "#444444", "#8B4513", "#999999", "#E6AB02")
MARKS = "os^Dvx*P<>"
LINEAR = 5.0
PENALTY = "penalty, points"
TICKS = (-100, -50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50, 100)
Panel = Callable[[Any], None]


def draw(figure: Figure, records: Sequence[Record], every: Mapping[str, Curves] | None = None) -> Drawing:
    """The whole figure: a panel for each protocol that was run, one for the paper's values, others as the figure asks.

    Args:
        every: the curves of the records, where they are at hand.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    records = as_records(records)
    every = every or every_protocol(records, PROTOCOLS)
    looks = _looks(figure)
    panels = [panel for name in PROTOCOLS for panel in _stitched(figure, every[name], name, looks, records)]
    panels += _papers(figure, looks)
    shared = every[next(iter(PROTOCOLS))]
    panels += [panel for kind in PROBED if (panel := kind(figure, shared, looks)) is not None]
    with matplotlib.rc_context(RC):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        fig = Drawing(
            figsize=(3.5 * columns, 2.9 * rows + 0.22 * -(-len(looks) // columns) + 0.2), layout="constrained"
        )
        FigureCanvasAgg(fig)
        for at, panel in enumerate(panels):
            panel(fig.add_subplot(rows, columns, at + 1))
        _one_scale([axes for axes in fig.axes if axes.get_ylabel() == PENALTY])
        handles: dict[str, Any] = {}
        for axes in fig.axes:
            for handle, label in zip(*axes.get_legend_handles_labels()):
                handles.setdefault(label, handle)
        if handles:
            fig.legend(
                handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=7.5
            )
    return fig


Looks = dict[str, tuple[str, str]]


def _looks(figure: Figure) -> Looks:
    labels = list(dict.fromkeys([*(line.label for line in figure.lines), *(p.label for p in figure.probes)]))
    return {label: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, label in enumerate(labels)}


def _stitched(figure: Figure, curves: Curves, name: str, looks: Looks, records: Sequence[Record]) -> list[Panel]:
    shown = [label for label in dict.fromkeys(line.label for line in figure.lines) if curves.points(label)]
    if not shown or not any(r.tags["protocol"] == name for r in records):
        return []
    tops = {replace(line.top, seed=0) for line in figure.lines if line.label in shown}
    under = "" if len(tops) == 1 else f", top of '{shown[0]}'"
    several = {label: f for label in shown if len(f := curves.families(label)) > 1}

    def panel(axes: Any) -> None:
        low, high = 0.0, 0.0
        for label in shown:
            for family in several.get(label, [None]):
                points = curves.points(label, family=family)
                _curve(axes, points, looks[label], label if family in (None, several.get(label, [None])[0]) else None)
                low, high = min([low, *(p.low for p in points)]), max([high, *(p.high for p in points)])
        for control, colour in (("self", "#555555"), ("class-noise", "#555555")):
            points = curves.points(shown[0], control=control)
            if points:
                dash = ":" if control == "self" else "-."
                axes.plot(
                    [p.depth for p in points],
                    [p.value for p in points],
                    dash,
                    color=colour,
                    lw=1,
                    label=control + under,
                )
                low, high = min([low, *(p.low for p in points)]), max([high, *(p.high for p in points)])
        _penalties(axes, low, high)
        axes.set_title(f"{name} protocol", loc="left")

    if figure.drawing == "matrix":
        return []
    if figure.drawing == "bars":
        return [_bars(curves, shown, name, looks)]
    return [panel] if figure.drawing != "families" else [_by_family(curves, shown, name)]


def _bars(curves: Curves, shown: Sequence[str], name: str, looks: Looks) -> Panel:
    """One value a curve: they were measured at one place."""

    def panel(axes: Any) -> None:
        low, high = 0.0, 0.0
        for at, label in enumerate(shown):
            (point, *_) = curves.points(label)
            axes.bar(at, point.value, color=looks[label][0], width=0.7, label=label)
            axes.vlines(at, point.low, point.high, color="#222222", lw=1)
            low, high = min(low, point.low), max(high, point.high)
        _penalties(axes, low, high)
        axes.set_xlim(-0.6, len(shown) - 0.4)
        axes.set_xticks([])
        axes.set_xlabel("")
        axes.set_title(f"{name} protocol, one middle layer", loc="left")

    return panel


def _by_family(curves: Curves, shown: Sequence[str], name: str) -> Panel:
    """Penalty against the size of the map, one line a layer."""

    def panel(axes: Any) -> None:
        families = curves.families(shown[0])
        layers: dict[str, list[tuple[int, Point]]] = {}
        for at, family in enumerate(families):
            for label in shown:
                for point in curves.points(label, family=family):
                    layers.setdefault(point.layer, []).append((at, point))
        low, high = 0.0, 0.0
        for (layer, places), colour, mark in zip(layers.items(), COLOURS, MARKS):
            x, points = [at for at, _ in places], [p for _, p in places]
            axes.plot(x, [p.value for p in points], color=colour, marker=mark, ms=4, lw=1.4, label=layer)
            axes.vlines(x, [p.low for p in points], [p.high for p in points], color=colour, lw=1)
            low, high = min([low, *(p.low for p in points)]), max([high, *(p.high for p in points)])
        _penalties(axes, low, high)
        axes.set_xlim(-0.2, len(families) - 0.8)
        axes.set_xticks(range(len(families)), [short(f, 12) for f in families])
        axes.set_xlabel("kernel of the map")
        axes.set_title(f"{name} protocol", loc="left")

    return panel


def _papers(figure: Figure, looks: Looks) -> list[Panel]:
    known = {line.label: found for line in figure.lines if line.paper and (found := values.series(line.paper))}
    if not known:
        return []

    def panel(axes: Any) -> None:
        for label, found in known.items():
            colour, mark = looks[label]
            axes.plot(
                [x for x, _ in found], [y for _, y in found], color=colour, marker=mark, ms=3.5, lw=1.4, label=label
            )
        every = [y for found in known.values() for _, y in found]
        _penalties(axes, min(0.0, *every), max(0.0, *every))
        axes.set_title("the paper's values", loc="left")

    return [panel]


def _similarities(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    probes = [p for p in figure.probes if p.kind == "similarity" and curves.points(p.label, CKA, "similarity")]
    if not probes:
        return None

    def panel(axes: Any) -> None:
        for probe in probes:
            points = curves.points(probe.label, CKA, "similarity")
            _curve(axes, points, looks[probe.label], probe.label)
            null = curves.points(probe.label, f"{CKA} of shuffled pairs", "similarity")
            axes.plot([p.depth for p in null], [p.value for p in null], ":", color=looks[probe.label][0], lw=1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("depth (ours: share of operations; the paper: of layers)")
        axes.set_ylabel("linear CKA (dotted: shuffled pairs)")
        axes.set_title("CKA", loc="left")

    return panel


def _paper_similarities(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    known = {
        p.label: found
        for p in figure.probes
        if p.kind == "similarity" and p.paper and (found := values.series(p.paper))
    }
    if not known:
        return None

    def panel(axes: Any) -> None:
        for label, found in known.items():
            colour, mark = looks[label]
            axes.plot([x for x, _ in found], [y for _, y in found], color=colour, marker=mark, ms=3.5, lw=1.4)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("index of the layer")
        axes.set_ylabel("linear CKA")
        axes.set_title("the paper's CKA", loc="left")

    return panel


def _errors(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    """Test errors of networks trained anew, beside those of stitched ones."""
    kinds = ("fine-tune", "freeze")
    rows = {
        p.label: found for p in figure.probes if p.kind in kinds and (found := curves.points(p.label, "error", p.kind))
    }
    rows |= {
        line.label: found
        for line in figure.lines
        if line.layers == "three" and rows and (found := curves.points(line.label, "error"))
    }
    if not rows:
        return None

    def panel(axes: Any) -> None:
        layers = list(dict.fromkeys(p.layer for points in rows.values() for p in points))
        for label, points in rows.items():
            x = [layers.index(p.layer) for p in points]
            colour, mark = looks[label]
            axes.plot(x, [p.value for p in points], mark, ls="-", color=colour, ms=5, lw=1.2, label=label)
            axes.vlines(x, [p.low for p in points], [p.high for p in points], color=colour, lw=1)
        axes.set_ylim(0, None)
        axes.set_xlim(-0.3, len(layers) - 0.7)
        axes.set_xticks(range(len(layers)), [short(name, 14) for name in layers])
        axes.set_xlabel("frozen up to" if figure.name == "8" else "layers kept frozen")
        axes.set_ylabel("test error, %")
        axes.set_title("test error", loc="left")

    return panel


def _paper_errors(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
    found = {
        name: values.series(name) for name in values.names() if figure.name == "8" and name.endswith(": test error")
    }
    if not found:
        return None

    def panel(axes: Any) -> None:
        for series, look in zip(found.values(), (looks["stitched, random bottom"], looks["fine-tuned, random bottom"])):
            axes.plot([x for x, _ in series], [y for _, y in series], color=look[0], marker=look[1], ms=3.5, lw=1.4)
        axes.set_ylim(0, None)
        axes.set_xlabel("block")
        axes.set_ylabel("test error, %")
        axes.set_title("the paper's values (ResNet-164)", loc="left")

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
            colour, mark = looks[label]
            name = f"{label}, {way}"
            axes.plot(
                [p.depth for p in points],
                [p.value for p in points],
                dashes[way],
                color=colour,
                marker=mark,
                ms=3,
                lw=1.3,
                label=name,
            )
        axes.set_ylim(0, None)
        axes.set_xlabel("share of the second network's weights")
        axes.set_ylabel("test error, %")
        axes.set_title("along the straight line", loc="left")

    return panel


def _matrices(label: str, control: str) -> Callable[[Figure, Curves, Looks], Panel | None]:
    """The penalty of every bottom layer under every top layer."""

    def find(figure: Figure, curves: Curves, looks: Looks) -> Panel | None:
        if figure.drawing != "matrix":
            return None
        from .matrix import bottoms, table

        found = table(curves, label, control)
        if not found:
            return None

        def panel(axes: Any) -> None:
            import numpy as np
            from matplotlib.colors import SymLogNorm

            tops, rows = list(found), bottoms(found)
            values = {(top, c["bottom"]): c["value"] for top, cells in found.items() for c in cells}
            grid = np.array([[values.get((top, row), np.nan) for top in tops] for row in rows])
            image = axes.imshow(grid, norm=SymLogNorm(LINEAR, vmin=-90, vmax=90), cmap="PuOr_r", aspect="auto")
            if grid.size <= 60:
                for (i, j), value in np.ndenumerate(grid):
                    if np.isnan(value):
                        continue  # a fit that failed leaves its square empty
                    axes.text(j, i, number(float(value), 0, signed=True), ha="center", va="center", fontsize=7)
            axes.set_xticks(range(len(tops)), [short(t, 8) for t in tops], rotation=90)
            axes.set_yticks(range(len(rows)), [short(row, 8) for row in rows])
            axes.set_xlabel("top from")
            axes.set_ylabel("bottom up to")
            axes.set_title(label, loc="left")
            axes.figure.colorbar(image, ax=axes, label=PENALTY.split(",")[0], ticks=[-50, -10, 0, 10, 50], format="%+d")

        return panel

    return find


PROBED: list[Callable[[Figure, Curves, Looks], Panel | None]] = [
    _similarities,
    _paper_similarities,
    _errors,
    _paper_errors,
    _paths,
    _matrices("matched, other seed", "matrix"),
    _matrices("matched, random bottom", "matrix"),
    _matrices("fitted to the task, other seed", "pair"),
]


def _curve(axes: Any, points: Sequence[Point], look: tuple[str, str], label: str | None) -> None:
    colour, mark = look
    x = [p.depth for p in points]
    axes.plot(x, [p.value for p in points], color=colour, marker=mark, ms=3.5, lw=1.5, label=label)
    if len(points) > 1:
        axes.fill_between(x, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.15, lw=0)


def _penalties(axes: Any, low: float, high: float) -> None:
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=1.1, base=10)
    axes.set_ylim(min(-3.0, low) * 1.15, max(10.0, high) * 1.3)
    axes.axhline(0, color="#9A9A9A", lw=0.8, zorder=0)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("depth (ours: share of operations; the paper: of layers)")
    axes.set_ylabel(PENALTY)


def _one_scale(panels: Sequence[Any]) -> None:
    """Penalties of all panels on one axis, so that they can be compared by eye."""
    if not panels:
        return
    low, high = min(a.get_ylim()[0] for a in panels), max(a.get_ylim()[1] for a in panels)
    ticks = [t for t in TICKS if low <= t <= high]
    for axes in panels:
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, [number(t, 0, signed=True) for t in ticks])
        axes.minorticks_off()
