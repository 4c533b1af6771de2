"""A table for a notebook, where no template is at hand: every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .shown import plain


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
