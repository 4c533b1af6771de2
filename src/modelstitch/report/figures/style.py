"""One look for all figures: colours that colour-blind readers can tell apart, markers, labels, plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ...engine.controls import CONTROLS, Look
from ...errors import StitchError
from ...support.shown import plain as plain
from ...support.words import among

PAIR = Look("this pair", "#0072B2", width=2.2)


def looks() -> dict[str, Look]:
    """How the curve of a pair and of each control is drawn."""
    return {"pair": PAIR, **{name: control.look for name, control in CONTROLS.items()}}


INK = "#222222"
FAINT = "#D9D9D9"

RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": "#8A8A8A",
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.parse_math": False,  # names are text: a "$" in a layer's name is a dollar
    "svg.fonttype": "none",
    "svg.hashsalt": "modelstitch",
}


PAPER = {  # for a column of a printed page: fonts go into the file, as outlines or whole
    **RC,
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.titleweight": "normal",
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
}
STYLES = {"screen": RC, "paper": PAPER}
_style: ContextVar[str] = ContextVar("style", default="screen")


def settings() -> dict[str, Any]:
    """Those of matplotlib in the style that is drawn in."""
    return STYLES[_style.get()]


@contextmanager
def in_style(name: str) -> Iterator[None]:
    """Draw and save in a style.

    Raises:
        StitchError: there is none of that name.
    """
    if name not in STYLES:
        raise StitchError(f"The style {name!r} is unknown: {among(str(name), STYLES, quoted=True)}")
    token = _style.set(name)
    try:
        yield
    finally:
        _style.reset(token)


def short(text: object, most: int = 22) -> str:
    """Cut a label's middle out where it is long: layers differ at their ends.

    Args:
        text: of any origin; what could not be shown is left out.
        most: letters.

    Returns:
        Plain text.

    Examples:
        >>> ms.report.short("encoder.layers.11.attention", most=12)
        'encode…ntion'
    """
    whole = plain(text)
    if len(whole) <= most:
        return whole
    tail = (most - 1) // 2
    return f"{whole[: most - 1 - tail]}…{whole[-tail:]}"


def labels(names: Sequence[str], most: int = 14) -> list[str]:
    """Short labels for names on one axis: dotted parts that all names share at either end are left out."""
    parts = [plain(name).split(".") for name in names]
    while len(parts) > 1 and min(map(len, parts)) > 1 and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    while len(parts) > 1 and min(map(len, parts)) > 1 and len({p[-1] for p in parts}) == 1:
        parts = [p[:-1] for p in parts]
    return [short(".".join(p), most) for p in parts]


def number(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """Write a number as prose does: rounded, a true minus sign, no negative zero.

    Args:
        value: the number.
        digits: behind the point.
        signed: a plus sign, too, but for 0.

    Returns:
        The text.

    Examples:
        >>> ms.report.number(-0.04), ms.report.number(1.26, signed=True)
        ('0.0', '+1.3')
    """
    rounded = round(value, digits) + 0.0
    return minus(f"{rounded:+.{digits}f}" if signed and rounded else f"{rounded:.{digits}f}")


def minus(text: str) -> str:
    """Write a number's minus sign as prose does."""
    return text.replace("-", "\u2212")
