"""Text of others as a terminal or a page may show it: nothing in a name clears a screen or turns a line around."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from html import escape

# Control characters but for the line's end and the tab, marks that turn the direction of text, line ends of another
# kind, tags that nobody sees, and halves of surrogate pairs, which no stream can encode.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_ROOTED = re.compile(r"(?:(?<![\w.~/…-])|(?<=:)(?!//))(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\":,]+[/\\])+")
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")


def visible(text: object) -> str:
    r"""A text for a terminal, an error or a log: what would steer the terminal is written out, as ``\x1b``."""
    return _UNFIT.sub(lambda found: _written(ord(found[0])), str(text))


def plain(text: object) -> str:
    r"""Put a text on one line: a mark stands for what no page can hold.

    Args:
        text: of any origin.

    Returns:
        The line.

    Examples:
        >>> ms.report.plain("one\ntwo")
        'one�two'
    """
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") or _TURNING.match(c) else c for c in str(text))


def without_folders(text: str) -> str:
    """A text for others to read: of a path that begins at the root, its last name alone."""
    return _ROOTED.sub("…/", text)


def _written(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def table(caption: str, head: Sequence[str], body: Sequence[Sequence[str]], lines: Sequence[str] = ()) -> str:
    """A table with its caption above, and lines of text below it.

    Args:
        caption: what it is of.
        head: the names of the columns; the first is aligned left.
        body: rows of as many texts.
        lines: paragraphs.
    """
    rows = [_row("th", head), *(_row("td", row) for row in body)]
    return "\n".join(
        [f"<table><caption>{_safe(caption)}</caption>", *rows, "</table>", *(f"<p>{_safe(line)}</p>" for line in lines)]
    )


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_safe(cell)}</{tag}>' for cell in cells)}</tr>"


def _safe(text: str) -> str:
    return escape(plain(text))
