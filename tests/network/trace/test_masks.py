"""transformers makes the masks of a running network while one is traced; it asks as before afterwards."""

import importlib
import sys
from types import ModuleType

import pytest

from modelstitch.network.trace.masks import _ASKED, _MODULE, masks_as_run


@pytest.fixture
def library(monkeypatch):
    """What the library asks, as it says while a network is exported."""
    module = ModuleType(_MODULE)
    setattr(module, _ASKED, lambda: True)
    monkeypatch.setitem(sys.modules, _MODULE, module)
    return module


def test_the_library_takes_the_trace_for_a_run(library):
    before = getattr(library, _ASKED)
    with masks_as_run():
        assert getattr(library, _ASKED)() is False
    assert getattr(library, _ASKED) is before


def test_it_asks_as_before_after_an_error(library):
    before = getattr(library, _ASKED)
    with pytest.raises(ValueError, match="stop"), masks_as_run():
        raise ValueError("stop")
    assert getattr(library, _ASKED) is before


def test_without_the_library_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, _MODULE, raising=False)
    with masks_as_run():
        assert _MODULE not in sys.modules


def test_a_version_that_asks_in_another_way_is_left_alone(library):
    delattr(library, _ASKED)
    with masks_as_run():
        assert not hasattr(library, _ASKED)


def test_the_installed_library_is_asked_where_we_think():
    utils = importlib.import_module("transformers.masking_utils")
    assert callable(getattr(utils, _ASKED))
