"""What does not fit is refused with its size."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
import torch

from modelstitch.errors import MeasureError
from modelstitch.support import memory
from modelstitch.support.memory import alone_if_small, uncollected, wait_briefly


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (12, "12 bytes"),
        (1500, "1.5 kB"),
        (2_000_000, "2.0 MB"),
        (3 * 10**9, "3.0 GB"),
        (4 * 10**12, "4.0 TB"),
    ],
)
def test_sizes_in_words(size, words):
    assert memory.readable(size) == words


def test_what_fits_passes_and_what_does_not_is_refused():
    memory.require(100, "Sums", "choose fewer", available=100)
    with pytest.raises(
        MeasureError, match=r"^Sums need 101 bytes of memory, found 100 bytes available: choose fewer\.$"
    ):
        memory.require(101, "Sums", "choose fewer", available=100)


def test_this_machine_tells_what_is_free():
    free = memory.available_bytes()
    assert free is not None
    assert 10**6 < free < 10**15
    with pytest.raises(MeasureError, match="available"):
        memory.require(10**18, "Sums", "choose fewer")


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    limit, usage = tmp_path / "limit", tmp_path / "usage"
    limit.write_text("5000\n")
    usage.write_text("2000\n")
    monkeypatch.setattr(memory, "_CGROUPS", ((str(limit), str(usage)),))
    assert memory.available_bytes() == 3000
    limit.write_text("max\n")
    assert memory.available_bytes() > 3000


def test_where_nothing_is_known_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.require(10**18, "Sums", "choose fewer")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_a_kept_heap_pays_for_its_pages_once():
    code = (
        "import resource, sys, numpy as np\n"
        "from modelstitch.support.memory import keep_heap\n"
        "if sys.argv[1] == 'keep': assert keep_heap()\n"
        "def faults():\n    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(3): np.ones(2**23)\n"
        "start = faults()\n"
        "for _ in range(5): np.ones(2**23)\n"
        "print(faults() - start)\n"
    )
    kept, default = (int(subprocess.check_output([sys.executable, "-c", code, how])) for how in ("keep", "default"))
    assert kept < default / 10


def test_a_users_own_heap_setting_is_left_alone(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not memory.keep_heap()


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


@pytest.mark.parametrize(
    ("given", "set_here", "spins"),
    [({}, True, "5000"), ({"GOMP_SPINCOUNT": "7"}, False, "7"), ({"OMP_WAIT_POLICY": "active"}, False, None)],
)
def test_only_where_the_user_says_nothing(monkeypatch, given, set_here, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert wait_briefly() is set_here
    assert os.environ.get("GOMP_SPINCOUNT") == spins
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)


@pytest.mark.parametrize(("columns", "inside"), [(512, 1), (513, 2)])
def test_small_decompositions_run_alone(columns, inside):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with alone_if_small(columns):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
