"""An interrupt that is not lost: one that Python or a library drops is raised again."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SOON = 0.01  # seconds until a dropped interrupt comes again: the call that dropped it is over then


class Interrupts:
    """While this is open an interrupt ends the work for certain.

    Python drops what is raised while it removes a value (a weak reference's callback, ``__del__``): it prints a
    traceback and goes on. Such an interrupt comes again at once. What a library drops in silence is raised at the next
    ``check``; a library that makes another error of it has ``heard`` to be asked for.

    Attributes:
        heard: one has come.
    """

    def __init__(self) -> None:
        self.heard = False
        self._listening, self._lock = False, _thread.allocate_lock()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Listen, in the main thread, and where nobody else listens."""
        self.heard = False
        here = threading.current_thread() is threading.main_thread()
        if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        unraised, self._listening = sys.unraisablehook, True
        signal.signal(signal.SIGINT, self._hear)
        sys.unraisablehook = lambda dropped: self._again(dropped, unraised)
        try:
            yield
        finally:
            with self._lock:
                self._listening = False
            sys.unraisablehook = unraised
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise an interrupt that came, and that something has dropped since.

        Raises:
            KeyboardInterrupt: one has come.
        """
        if self.heard and self._listening:
            raise KeyboardInterrupt

    def _hear(self, number: int, frame: object) -> None:
        self.heard = True
        raise KeyboardInterrupt

    def _again(self, dropped: Any, otherwise: Any) -> None:
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            _thread.start_new_thread(self._soon, ())  # a Thread's locks may be held where values are removed
        else:
            otherwise(dropped)

    def _soon(self) -> None:
        time.sleep(_SOON)
        with self._lock:
            if self._listening:
                _interrupt()


def _interrupt() -> None:
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        _thread.interrupt_main()
    else:
        signal.pthread_kill(main, signal.SIGINT)  # which ends a sleep, too


INTERRUPTS = Interrupts()  # of this process, which has one handler of signals
