"""An interrupt ends the work, whatever drops it on its way."""

import contextlib
import signal
import sys
import time

import pytest

from modelstitch.support.interrupts import Interrupts


class Removed:
    """What is interrupted while it is removed: Python drops what is raised there."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def removed(interrupts):
    one = Removed()
    del one
    time.sleep(20)  # the interrupt comes in the middle


def forgotten(interrupts):
    with contextlib.suppress(KeyboardInterrupt):  # as a library may
        signal.raise_signal(signal.SIGINT)
    interrupts.check()


def plain(interrupts):
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def heard():
    """Python's own handler, also where the tests were started with interrupts ignored (in the background)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("work", [removed, forgotten, plain])
def test_an_interrupt_ends_the_work(work, capfd):
    interrupts, begun, hook = Interrupts(), time.monotonic(), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), interrupts.open():
        work(interrupts)
    assert interrupts.heard
    assert time.monotonic() - begun < 10
    assert "Traceback" not in capfd.readouterr().err
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == (signal.default_int_handler, hook)


def test_none_comes_after_the_end():
    with Interrupts().open():
        one = Removed()
        del one
    time.sleep(0.1)


def test_a_handler_of_the_callers_own_is_kept():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        interrupts = Interrupts()
        with interrupts.open():
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [1]


def test_other_errors_that_are_dropped_are_shown_as_before(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: seen.append(dropped.exc_type))

    class Broken:
        def __del__(self):
            raise ValueError

    with Interrupts().open():
        one = Broken()
        del one
    assert seen == [ValueError]


@pytest.mark.usefixtures("heard")
def test_an_interrupt_that_has_ended_its_work_ends_no_other():
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.open():
        plain(interrupts)
    interrupts.check()
    with interrupts.open():
        interrupts.check()
