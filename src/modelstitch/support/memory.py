"""Memory: how much this process may take, how torch keeps it, and how threads wait."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import MeasureError

_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)

_KEPT = 2**30  # bytes of free heap that are kept
_LARGE = 2**28  # bytes from which an allocation is mapped, and given back, by itself
_SIGNS = ("out of memory", "not enough memory", "can't allocate memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    import torch  # pages are drawn without it

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def available_bytes() -> int | None:
    """Bytes of main memory a new allocation may use; None where the system does not tell.

    The smaller of what the machine has free and what a container's limit leaves.
    """
    free = [value for value in (_machine(), *(_container(*files) for files in _CGROUPS)) if value is not None]
    return min(free) if free else None


def require(needed: int, what: str, way_out: str, *, available: int | None = None) -> None:
    """Refuse what needs more bytes than there are.

    Args:
        needed: bytes.
        what: the subject of the sentence, such as ``"The distances of 50,000 examples"``.
        way_out: what to try instead, an imperative.
        available: bytes that may be used; by default what the machine has free.

    Raises:
        MeasureError: if ``needed`` exceeds what is available.
    """
    free = available_bytes() if available is None else available
    if free is not None and needed > free:
        raise MeasureError(f"{what} need {readable(needed)} of memory, found {readable(free)} available: {way_out}.")


def keep_heap() -> bool:
    """Let the C library keep freed memory of this process for the next allocation; whether it does.

    By default glibc hands the top of its heap back to the system whenever an activation is freed, and the next one
    pays for fresh pages: up to a third of a small network's forward on the CPU. A setting of the user's own
    (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``) is left alone, as are other C libraries.
    """
    if {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & set(os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    return bool(mallopt(trim, _KEPT)) and bool(mallopt(mmap, _LARGE))


def readable(size: int) -> str:
    """A number of bytes in words: ``1.5 GB`` (1 GB = 10^9 bytes)."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux: the total is the best that the standard library tells
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _container(limit: str, usage: str) -> int | None:
    try:
        # "max" where there is no limit: not a number, hence ValueError.
        return max(0, int(Path(limit).read_text()) - int(Path(usage).read_text()))
    except (OSError, ValueError):
        return None


@contextmanager
def uncollected() -> Iterator[None]:
    """Hold the collector of cycles meanwhile, where it is at work: for code that makes many values and no cycles.

    Each of its rounds visits all that lives, so that reading ten thousand records would be half collecting.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


_SPINS = 5_000
_SMALL = 512  # columns up to which a decomposition gains nothing from a second thread


def wait_briefly() -> bool:
    """Let a thread that waits for the others sleep soon, instead of keeping its core; whether that was set.

    GNU OpenMP lets waiting threads spin for a while. Where another program has one of the cores, the others
    spin through its whole turn at every operation: small networks then take thirty times as long. A setting of the
    user's own (``OMP_WAIT_POLICY``, ``GOMP_SPINCOUNT``) is left alone.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        return False
    os.environ["GOMP_SPINCOUNT"] = str(_SPINS)
    return True


@contextmanager
def alone_if_small(columns: int) -> Iterator[None]:
    """Decompose matrices of few columns on one thread.

    Its many short steps would be spent on waiting for the others.
    """
    import torch

    before = torch.get_num_threads()
    if columns > _SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
