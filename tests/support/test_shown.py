"""What is shown is the text, and what would steer a terminal is written out."""

import pytest

from modelstitch.errors import DataError
from modelstitch.support.shown import plain, table, visible

TEXTS = {
    "clear the screen": ("e\x1b[2Jx", "e\\x1b[2Jx", "e\ufffd[2Jx"),
    "title": ("\x1b]0;own\x07", "\\x1b]0;own\\x07", "\ufffd]0;own\ufffd"),
    "eight-bit escape": ("a\x9b2J", "a\\x9b2J", "a\ufffd2J"),
    "over the line": ("good\rbad\b\b", "good\\x0dbad\\x08\\x08", "good\ufffdbad\ufffd\ufffd"),
    "turned around": ("a\u202egnp.exe\u2066", "a\\u202egnp.exe\\u2066", "a\ufffdgnp.exe\ufffd"),
    "marks": ("a\u200f\u061cb", "a\\u200f\\u061cb", "a\ufffd\ufffdb"),
    "tags": ("a\U000e0041", "a\\U000e0041", "a\ufffd"),
    "half a pair": ("a\udc80", "a\\udc80", "a\ufffd"),
    "deleted": ("a\x7f\x00", "a\\x7f\\x00", "a\ufffd\ufffd"),
    "harmless": ("é → 猫 👩‍🔬 שלום", "é → 猫 👩‍🔬 שלום", "é → 猫 👩‍🔬 שלום"),
}


@pytest.mark.parametrize(("text", "terminal", "page"), TEXTS.values(), ids=TEXTS)
def test_text_is_shown(text, terminal, page):
    assert visible(text) == terminal
    assert plain(text) == page
    visible(text).encode()
    assert str(DataError(f"The set {text} is none.")) == f"The set {terminal} is none."


def test_lines_stay_lines_on_a_terminal():
    assert visible("one\n\ttwo") == "one\n\ttwo"
    assert plain("one\n\ttwo") == "one\ufffd\ufffdtwo"


def test_texts_are_escaped_wherever_they_stand():
    evil = "<script>&\x1b[2J\u202e"
    found = table(evil, [evil, "b"], [[evil, "1"]], [evil])
    assert "<script>" not in found
    assert "\x1b" not in found
    assert "\u202e" not in found
    assert found.count("&lt;script&gt;&amp;") == 4


def test_rows_and_columns():
    found = table("caption", ["a", "b"], [["1", "2"], ["3", "4"]])
    assert found.count("<tr>") == 3
    assert found.count("<td>") == 4
    assert found.startswith("<table><caption>caption</caption>")
