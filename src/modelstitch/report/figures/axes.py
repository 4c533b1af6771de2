"""What figures share: the sheet they are drawn on, the axis of penalties, heat maps."""

from __future__ import annotations

import io
import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import StitchError
from ...support.files import as_path, make_folder, write_atomic
from ..sentences.units import UnitScale, scale_of, tick
from .style import FAINT, number, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DRAWINGS = (".pdf", ".svg", ".png")


def drawn(**more: Any) -> AbstractContextManager[None]:
    """Draw in the one look of all figures, global state untouched.

    Args:
        **more: settings of matplotlib besides.

    Returns:
        A context.

    Examples:
        >>> with ms.report.drawn():
        ...     figure = ms.report.sheet(4, 3)
    """
    import matplotlib

    return matplotlib.rc_context({**settings(), **more})


def sheet(width: float, height: float, **options: Any) -> Figure:
    """Make an empty figure.

    Args:
        width: in inches.
        height: in inches.
        **options: of matplotlib's ``Figure``.

    Returns:
        The figure, which no global list of figures holds, and which a notebook shows.

    Examples:
        >>> ms.report.sheet(4, 3).get_size_inches().tolist()
        [4.0, 3.0]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from .sheet import Sheet

    fig = Sheet(figsize=(width, height), **options)
    FigureCanvasAgg(fig)
    return fig


def write_figure(figure: Figure, path: str | Path, dpi: int = 200) -> Path:
    """Write a figure to a file.

    Args:
        figure: of matplotlib.
        path: where; its ending says how: .pdf, .svg or .png.
        dpi: of the points of a .png.

    Returns:
        The path.

    Raises:
        StitchError: the ending is another one.
        StudyError: the file cannot be written.
    """
    target, content = drawing(path), io.BytesIO()
    figure.savefig(content, format=target.suffix[1:], bbox_inches="tight", dpi=dpi)
    make_folder(target.parent)
    write_atomic(target, content.getvalue())
    return target


class Drawable(ABC):
    """An answer that has one figure."""

    @abstractmethod
    def figure(self) -> Figure:
        """Draw it."""

    def draw(self, path: str | Path) -> Path:
        """Write the figure to a file.

        Args:
            path: where; its ending says how: .pdf, .svg or .png.

        Returns:
            The path.

        Raises:
            StitchError: the ending is another one.
            StudyError: the file cannot be written.
        """
        target = drawing(path)
        return write_figure(self.figure(), target)


def drawing(path: str | Path) -> Path:
    """The path of a figure, refused before anything is drawn where its ending is another one."""
    target = as_path(path, "figure")
    if target.suffix not in DRAWINGS:
        raise StitchError(f"The figure {target} has no known ending: expected {', '.join(DRAWINGS)}.")
    return target


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """Make a figure of one pair of axes."""
    fig = sheet(width, height)
    return fig, fig.add_subplot()


def penalty_axis(axes: Any, low: float, high: float, unit: str, scale: UnitScale | None = None) -> None:
    """Make the y axis one of penalties: linear near 0 and logarithmic beyond.

    Args:
        axes: of matplotlib.
        low: the lower end.
        high: the upper end.
        unit: of the penalties.
        scale: how its values are drawn; as the unit says by default.

    Examples:
        >>> axes = ms.report.sheet(4, 3).subplots()
        >>> ms.report.penalty_axis(axes, -1.0, 60.0, "points")
    """
    scale = scale_of(unit) if scale is None else scale
    axes.set_yscale("symlog", linthresh=scale.linear, linscale=1.1, base=10)
    axes.set_ylim(low, high)
    ticks = scale.ticks_within(low, high)
    written = [tick(t) for t in ticks]
    axes.set_yticks(ticks, written)
    _make_room(axes, max(map(len, written), default=0))
    axes.minorticks_off()
    axes.tick_params(length=2.5, width=0.6)
    axes.grid(axis="y", color=FAINT, lw=0.45)
    axes.set_axisbelow(True)
    axes.set_ylabel(f"penalty ({unit or 'points'}; log beyond ±{scale.linear:g})")


def _make_room(axes: Any, longest: int) -> None:
    """Move the axes to the right where ticks are longer than those of points."""
    more = 0.016 * max(0, longest - 4)
    place = axes.get_position()
    if more:
        axes.figure.subplots_adjust(left=place.x0 + more)


def heat_map(axes: Any, values: np.ndarray[Any, Any], scale: UnitScale | None, distance: bool = False) -> None:
    """Draw one heat map, with its values written in where there is room; NaN stays empty.

    Args:
        axes: of matplotlib.
        values: (rows, columns), the first row on top.
        scale: the penalty's; None for a measure, whose bright cells are the layers more alike.
        distance: of a measure: small ones are bright.

    Examples:
        >>> import numpy as np
        >>> axes = ms.report.sheet(4, 3).subplots()
        >>> ms.report.heat_map(axes, np.eye(3), None)
    """
    from matplotlib.colors import Normalize, SymLogNorm

    known = values[~np.isnan(values)]
    reach = 0.0
    if scale is not None:
        reach = max(2 * scale.linear, float(np.abs(known).max()))
        norm: Normalize = SymLogNorm(linthresh=scale.linear, linscale=1.1, vmin=-reach, vmax=reach)
        colours = "RdBu_r"
    else:
        norm, colours = (
            Normalize(min(0.0, float(known.min())), max(1.0, float(known.max()))),
            "cividis_r" if distance else "cividis",
        )
    drawn = axes.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5,
        np.arange(values.shape[0] + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=norm,
        edgecolors="white",
        linewidth=0.6,
    )
    axes.set_facecolor("#EEEEEE")
    axes.invert_yaxis()
    if values.size > 150:  # too small to be written into
        bar = axes.figure.colorbar(drawn, ax=axes, shrink=0.8)
        bar.minorticks_off()
        if scale is not None:
            ticks = scale.ticks_within(-reach, reach)
            bar.set_ticks(ticks, labels=[tick(t) for t in ticks])
        return
    digits = 2 if scale is None else scale.digits - 1
    for row, column in np.argwhere(~np.isnan(values)):
        value = float(values[row, column])
        red, green, blue, _ = drawn.cmap(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = number(
            value, scale.digits if scale is not None and math.fabs(value) < 2 * scale.linear - 0.05 else digits
        )
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "#222222")
