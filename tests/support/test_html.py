"""Tables for notebooks: every text is escaped."""

from modelstitch.support.html import table


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
