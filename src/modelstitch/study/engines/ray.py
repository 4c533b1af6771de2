"""The Ray engine: every sweep is a task of a Ray cluster; its records come back to this process, which stores them.

A task opens the donors and the data by the names of the study, on the node where it runs, and shows by their
fingerprints that they are those that the study was planned with. Ray does the scheduling, and runs a task again whose
worker was lost.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import StudyError, first_line
from ...records.record import Record
from ...support.optional import need
from ...support.progress import Tell
from ..plan import Cell
from ..sweeps.bench import Bench
from ..sweeps.fitted import run_sweeps
from ..sweeps.grouped import Reading
from . import Engine, OpenBench
from .local import Batchwork, check_same, tasks

RETRIES = 3  # of a task whose worker was lost
_PATIENCE = 10.0  # seconds

_opened: dict[str, Bench] = {}  # on a worker: what its last run opened


def engine(open_bench: OpenBench, *, device: str = "auto", address: str | None = None) -> Engine:
    """An engine whose workers work on what ``open_bench`` opens there; it is pickled.

    Args:
        device: "cpu", "cuda" (one GPU a task), or "auto": a GPU where the cluster has any.
        address: of a cluster that runs; by default that of RAY_ADDRESS or of this machine, else one is started here.

    Raises:
        MissingExtraError: if Ray is not installed.
        StudyError: (when run) if the cluster cannot be reached, has no GPU where one was asked for, loses a task for
            good, or holds other donors or data on a node.
    """
    ray = need("ray")

    def run(groups: Sequence[list[Cell]], bench: Bench, tell: Tell | None) -> Iterator[Record]:
        todo = tasks(groups, bench)
        if not todo:
            return
        with _cluster(ray, address):
            how = {"num_cpus": 1, "num_gpus": _gpus(ray, device), "max_retries": RETRIES, "num_returns": "streaming"}
            submit = ray.remote(**how)(_task)
            token, left = uuid.uuid4().hex, None if bench.unfinished is None else str(bench.unfinished.resolve())
            waiting = {submit.remote(token, open_bench, task.groups[0], left): task for task in todo}
            try:
                yield from _collect(ray, waiting, bench, tell)
            finally:
                for task in waiting:
                    ray.cancel(task, force=True)

    return run


def _collect(ray: Any, waiting: dict[Any, Batchwork], bench: Bench, tell: Tell | None) -> Iterator[Record]:
    """Every record as soon as its task has it: a sweep that is stopped half-way has lost none."""
    done, total = 0, sum(len(task.groups) for task in waiting.values())
    if tell:
        tell("sweeps on Ray", done, total)
    while waiting:
        (answer, *_), _ = ray.wait(list(waiting), num_returns=1)
        task = waiting[answer]
        found = _next(ray, answer, task.groups[0][0])
        if found is not None:
            yield from task.records(found, bench)
            continue
        del waiting[answer]
        done += len(task.groups)
        if tell:
            tell("sweeps on Ray", done, total)


def _next(ray: Any, task: Any, cell: Cell) -> Record | None:
    """The next record of a task, None at its end; its own mistakes are raised as they are, Ray's in a sentence."""
    try:
        record: Record = ray.get(next(task))
    except StopIteration:
        return None
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        sweep = cell.sweep
        raise StudyError(
            f"The sweep {sweep.bottom} -> {sweep.top} was lost on the cluster ({type(error).__name__}): finished cells "
            "are kept; see Ray's logs, and run the study again."
        ) from error
    return record


@contextmanager
def _cluster(ray: Any, address: str | None) -> Iterator[None]:
    """Ray as the caller has it, else connected to or started, and left again."""
    if ray.is_initialized():
        yield
        return
    wanted = address or os.environ.get("RAY_ADDRESS")
    try:
        _knock(wanted)
        ray.init(address=address, log_to_driver=False, logging_level="WARNING", include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise StudyError(
            f"No Ray cluster can be used at {wanted or 'this machine'} ({first_line(error).rstrip('.')}): expected the "
            "address of one that runs, such as head:6379; where it asks for a token set RAY_AUTH_MODE=token, and "
            "without an address one is started here."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Fail at once where nobody listens: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _gpus(ray: Any, device: str) -> int:
    """How many of a task; a cluster on which it could never start is refused."""
    if ray.cluster_resources().get("CPU", 0) < 1:
        raise StudyError(
            "The Ray cluster has no processor for a task: expected one at least; add a node with --num-cpus 1 or more."
        )
    if device == "cpu":
        return 0
    there = ray.cluster_resources().get("GPU", 0) >= 1
    if device != "auto" and not there:
        raise StudyError(
            f"The device {device!r} is not on the Ray cluster: expected a GPU on a node; use 'cpu' or 'auto'."
        )
    return int(there)


def _task(token: str, open_bench: OpenBench, cells: Sequence[Cell], left: str | None) -> Iterator[Record]:
    """On a worker: the records of cells that are fitted together."""
    if token not in _opened:
        _opened.clear()
        _opened[token] = open_bench()
    bench = _opened[token]
    check_same(cells, bench)
    if left is not None and Path(left).parent.is_dir():  # a folder that the nodes share
        bench.unfinished = Path(left)
    for fitted in run_sweeps(Reading([cells]), bench):
        yield fitted.record
