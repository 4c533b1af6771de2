"""The page of a family: whole, inert, its names escaped."""

import pytest
from test_family import GROUPS, NAMES, table

from modelstitch.report.family import family_of
from modelstitch.report.family_page import family_page, family_tables, separation_table


def test_a_page_shows_tree_map_groups_and_numbers():
    family = family_of([table(), table(measure="r2", both=True)], NAMES, GROUPS)
    text = family_page(family, command="made <by> hand", notes=["Data: none."])
    assert text.count("<svg") == 3
    assert "5 networks, 2 groups, 3 depths, measures: cka, r2." in text
    assert "made &lt;by&gt; hand" in text
    assert "Data: none." in text
    assert "Which measure tells the groups apart" in text
    assert "<script" not in text


def test_without_groups_nothing_is_said_of_them():
    text = family_page(family_of([table()], NAMES))
    assert text.count("<svg") == 1
    assert "groups" not in text


def test_a_measure_without_all_values_is_named_and_the_others_drawn():
    short = table(measure="r2").head(9)
    text = family_page(family_of([table(), short], NAMES))
    assert text.count("<svg") == 1
    assert "r2 has no value between" in text


@pytest.mark.parametrize(("whole", "rows"), [(True, 1), (False, 3)])
def test_tables(whole, rows):
    family = family_of([table()], NAMES, GROUPS)
    assert len(separation_table(family, whole=whole).rows) == rows
    (one,) = family_tables(family)
    assert one.head == ("network", *NAMES)
    assert one.rows[0][1].text == "–"
