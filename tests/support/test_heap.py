"""The collector of cycles is as it was, whatever happens meanwhile."""

import gc

import pytest

from modelstitch.support.heap import uncollected


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_collector_is_held_and_let_go(on, fails):
    was = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        try:
            with uncollected(), uncollected():
                assert not gc.isenabled()
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
        assert gc.isenabled() is on
    finally:
        (gc.enable if was else gc.disable)()
