"""A matplotlib figure as SVG that may stand inside a page: own ids, no style sheet, nothing from outside."""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from ...support import hashing
from .style import RC, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_URL = re.compile(r"url\(#([^)]+)\)")


def to_svg(fig: Figure, *, title: str = "", prefix: str | None = None) -> str:
    """Draw a figure as one ``<svg>`` element.

    Args:
        fig: the figure.
        title: read out by screen readers.
        prefix: put before every id, so that many figures share a page; default: a hash of the drawing.

    Returns:
        The element, which scales with its container. Text stays text and is escaped.

    Examples:
        >>> svg = ms.report.to_svg(ms.report.sheet(4, 3), title="nothing")
        >>> "<svg" in svg, "nothing" in svg
        (True, True)
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        # Glyphs are the browser's, so one that our measuring font lacks is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message=".*font.*", category=UserWarning)
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawn = buffer.getvalue()
    root = ET.fromstring(drawn)
    if prefix is None:
        prefix = f"m{hashing.of(drawn, digits=8)}-"
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _own(element, prefix)
    _dress(root, plain(title), prefix)
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _own(element: ET.Element, prefix: str) -> None:
    if "id" in element.attrib:
        element.set("id", prefix + element.attrib["id"])
    if _HREF in element.attrib:
        target = element.attrib.pop(_HREF)
        # Pictures (heat maps) come as data; everything else points into this drawing.
        element.set("href", target if target.startswith("data:image/png;") else f"#{prefix}{target.lstrip('#')}")
    for key, value in element.attrib.items():
        if "url(" in value:
            element.set(key, _URL.sub(rf"url(#{prefix}\1)", value))


def _dress(root: ET.Element, title: str, prefix: str) -> None:
    width = root.attrib.pop("width", "")
    root.attrib.pop("height", None)
    points = float(width.removesuffix("pt") or 400)
    # A width of its own, not a share of what is around it: a file that is shown as a picture has nothing around it.
    root.set("width", f"{points * 4 / 3:.0f}")
    root.set("style", "stroke-linejoin:round;stroke-linecap:butt;max-width:100%;height:auto")
    root.set("role", "img")
    if title:
        label = ET.Element(f"{{{_SVG}}}title", {"id": f"{prefix}title"})
        label.text = title
        root.insert(0, label)
        root.set("aria-labelledby", f"{prefix}title")
