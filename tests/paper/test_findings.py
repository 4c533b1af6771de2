"""What docs/findings.md quotes stands on the pages that the same paragraph links to."""

import re
from pathlib import Path

import pytest

FINDINGS = Path(__file__).parents[2] / "docs" / "findings.md"
PARAGRAPHS = [p for p in FINDINGS.read_text().split("\n\n") if "](" in p]


def linked(paragraph):
    return "\n".join((FINDINGS.parent / link).read_text() for link in re.findall(r"\]\(([^)]*\.md)\)", paragraph))


def quoted(paragraph):
    """Signed values, those with their intervals, and intervals alone: '+5.1', '+2.6 [+1.7, +3.7]', '[0.80, 0.86]'."""
    interval = r"\[[+−]?\d+\.\d+, [+−]?\d+\.\d+\]"
    return re.findall(rf"[+−]?\d+\.\d+ {interval}|{interval}|[+−]\d+(?:\.\d+)?", " ".join(paragraph.split()))


@pytest.mark.parametrize("paragraph", PARAGRAPHS, ids=lambda p: p.strip()[:40])
def test_every_value_stands_on_a_linked_page(paragraph):
    assert [v for v in quoted(paragraph) if not stands(v, linked(paragraph))] == []


def stands(value, pages):
    """Whether a value is on the pages; one without an interval not as the end of another one's."""
    if "[" not in value:
        pages = re.sub(r"\[[^\]\n]*\]", "", pages)
    return re.search(rf"(?<![\d.+−]){re.escape(value)}(?![\d.])", pages) is not None


def test_an_end_of_an_interval_is_no_value():
    page = "| +2.5 [+1.3, +3.7] | CKA [0.80, 0.86] |"
    assert stands("+2.5", page)
    assert stands("+2.5 [+1.3, +3.7]", page)
    assert stands("[0.80, 0.86]", page)
    assert not stands("+3.7", page)
    assert not stands("+2", page)


def test_a_minus_is_a_minus():
    assert re.findall(r"(?<![\w])-\d.*", FINDINGS.read_text()) == []


def test_what_is_quoted_is_found():
    assert quoted(
        "costs +5.1 [+4.0,\n+6.2] at a block, −8.7 below [−10.4, −7.0], CKA 0.83 [0.80, 0.86], 3.2 points, "
        "ResNet-18, 1x1, +26"
    ) == [
        "+5.1 [+4.0, +6.2]",
        "−8.7",
        "[−10.4, −7.0]",
        "0.83 [0.80, 0.86]",
        "+26",
    ]
