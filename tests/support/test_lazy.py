"""Public names of a package are loaded when they are first used."""

import pytest

from modelstitch.support.lazy import loading


def test_a_name_is_found_where_it_stands_and_another_is_refused_as_python_does():
    find = loading("modelstitch.support", {"counted": ".words"})
    assert find("counted")(2, "cell") == "2 cells"
    with pytest.raises(AttributeError, match="has no attribute 'sum'"):
        find("sum")
