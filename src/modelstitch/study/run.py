"""Run a plan: what the store holds is kept, what is missing is fitted, and the donors are proved unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.data import Data
from ..engine.alone import introduce, told
from ..engine.entry import check_entry
from ..engine.fit.objectives import Loss
from ..engine.scores import need_scores
from ..engine.sweep import MEMORY, Watch
from ..errors import StudyError
from ..network import Network
from ..stitchers import own_codes
from ..support.device import pick_device
from ..support.progress import Tell, say
from ..support.ranks import current, first, writes
from ..support.resume import tidy
from ..support.user_code import in_words
from .engines import Engine, local
from .members import with_members
from .needs import Needs, needs_of
from .plan import Cell, Place, PlannedDonor, in_company, plan
from .question import Question
from .record import Record
from .shard import Shard
from .store import Store
from .sweep import Bench, check_shared, left


def describe_donor(network: Network) -> PlannedDonor:
    """What a plan needs to know of a network."""
    order = network.cuts

    def place(name: str) -> Place:
        layer = network.layer(name)
        return Place(name, round(layer.depth, 6), order.index(name), (layer.kind, layer.shape))

    return PlannedDonor(
        network.name,
        network.fingerprint(),
        tuple(place(name) for name in network.blocks),
        tuple(place(name) for name in order),
        network.trained_on,
        in_words(network.view),
        tuple((alias, name) for name in order for alias in network.layer(name).aliases if alias != name),
    )


def data_config(data: Data, second: Data | None = None) -> dict[str, Any]:
    """What a record states about the data, and about a second test set."""
    stated = data.describe()
    config = {key: stated[key] for key in ("name", "fingerprint", "fit", "val", "test", "classes", "augment", "splits")}
    if second is not None:
        config["second"] = {"name": second.name, "fingerprint": second.fingerprint, "test": second.size("test")}
    return config


def run(
    networks: Sequence[Network],
    pairs: Iterable[tuple[str, str]],
    data: Data,
    question: Question,
    *,
    store: Store | None = None,
    device: str = "auto",
    tell: Tell | None = None,
    watch: Watch | None = None,
    memory: float | None = None,
    second: Data | None = None,
    losses: Mapping[str, Loss] | None = None,
    engine: Engine | None = None,
    whole: bool = False,
    shard: Shard | None = None,
    sums: Path | None = None,
    left_out: list[str] | None = None,
) -> list[Record]:
    """Plan all cells of the pairs, run the missing ones, and return every record in the plan's order.

    ``memory`` is the budget of a sweep in gigabytes, 2 by default; ``second`` another test set to measure on;
    ``losses`` are objectives of the user's own, by name; ``engine`` runs the sweeps, this process by default. Where
    these cells are the ``whole`` of the store, or of the part of it that is asked for, it keeps their list, to say what
    is missing. What the donors do alone is looked at, and said to ``tell``, before anything is fitted. A ``shard`` runs
    and returns its own cells alone, and looks at their donors. ``sums`` is a folder where sums stay, see
    ``Bench``; ``left_out`` is told of seams that a family has no member for.

    Raises:
        StudyError: if the budget is not above 0, two donors share a name, or a donor changed while it was used.
        DataError: if the networks or the controls do not fit the data.
    """
    named, donors, cells = planned(networks, pairs, data, question, second)
    if left_out is not None:
        cells, notes = with_members(cells, named)
        left_out += notes
    store = store if writes() else None
    check_shared(cells)
    if store is not None and whole:
        store.plan([cell.hash for cell in cells])
    held = cells if question.expected_error is not None else None  # of donors that are not in the shard, too
    cells = _share(cells, shard)
    bench = Bench(named, data, question.fit, pick_device(device), budget(memory), watch, second, losses or {})
    if store is not None:
        bench.unfinished = store.path / "unfinished"
    bench.sums = sums
    missing = first(
        "whether cells are missing", lambda: any(store is None or not store.has(cell.hash) for cell in cells)
    )
    if missing or question.expected_error is not None:
        introduce(bench.all_donors(held or cells), tell, question.expected_error, question.error_tolerance)
    found = run_cells(cells, bench, store=store, tell=tell, engine=engine or local.run)
    if not missing:
        for name, known in {n: facts for record in found for n, facts in (record.donors or {}).items()}.items():
            say(tell, told(name, known._asdict()))
    if bench.unfinished is not None:
        tidy(bench.unfinished)
    for name, network in named.items():
        if network.fingerprint() != donors[name].fingerprint:
            raise StudyError(
                f"The donor {name!r} changed while it was stitched: expected frozen weights and buffers; "
                "do not train or move it meanwhile."
            )
    return found


def plan_run(
    networks: Sequence[Network],
    pairs: Iterable[tuple[str, str]],
    data: Data,
    question: Question,
    *,
    store: Store | None = None,
    device: str = "auto",
    memory: float | None = None,
    second: Data | None = None,
    shard: Shard | None = None,
    timed: bool = True,
) -> Needs:
    """What ``run`` with these arguments will take; nothing is fitted, and nothing written.

    Args:
        timed: measure batches, for an estimate in seconds.
        store: the folder as it lies there, see ``Store.beheld``.

    Raises:
        StudyError, DataError: as ``run`` before it fits anything.
    """
    named, _, cells = planned(networks, pairs, data, question, second)
    cells = _share(cells, shard)
    bench = Bench(named, data, question.fit, pick_device(device), budget(memory), second=second)
    return needs_of(cells, bench, store.believed(cell.hash for cell in cells) if store is not None else (), timed=timed)


def planned(
    networks: Sequence[Network], pairs: Iterable[tuple[str, str]], data: Data, question: Question, second: Data | None
) -> tuple[dict[str, Network], dict[str, PlannedDonor], list[Cell]]:
    """The networks and what a plan knows of them, by name, and all cells; what cannot be run is refused."""
    named = {network.name: network for network in networks}
    if len(named) < len(networks):
        raise StudyError("Two donors have the same name: expected distinct names; give each Network a name=.")
    check_entry(list(named.values()), data, second=second)
    question = question.for_labels(sequences=data.labels("val").ndim > 1)
    pairs = list(pairs)
    for name in dict.fromkeys(top for _, top in pairs):
        need_scores(named[name], data)
    donors = {name: describe_donor(network) for name, network in named.items()}
    cells = plan(
        [(donors[b], donors[t]) for b, t in pairs],
        question,
        data_config(data, second),
        others={top: donors[name] for top, name in question.other_seeds.items() if name in donors},
        codes=dict(own_codes(question.families)),
    )
    return named, donors, cells


def _share(cells: list[Cell], shard: Shard | None) -> list[Cell]:
    return cells if shard is None else in_company(cell for cell in cells if shard.takes(cell.hash))


def run_cells(
    cells: Sequence[Cell], bench: Bench, *, store: Store | None, tell: Tell | None = None, engine: Engine = local.run
) -> list[Record]:
    """The records of all cells: read where finished, else run."""
    if current() is not None and engine is not local.run:
        raise StudyError(
            "Processes that share a pass need no engine beside: expected engine='local' and one worker in each; run "
            "it so."
        )

    def kept() -> dict[str, Record]:
        if store is None:
            return {}
        return {
            cell.hash: record for cell in cells if (record := store.kept(cell.hash)) is not None and not record.lost
        }

    there = first("the finished cells", kept)
    missing = [cell for cell in cells if cell.hash not in there]
    groups: dict[Any, list[Cell]] = {}
    for cell in missing:
        groups.setdefault(cell.sweep, []).append(cell)
    if bench.unfinished is not None and bench.unfinished.is_dir():
        for cell in cells:  # a run may have been stopped between its last record and the end of its state
            unfinished = left(cell, bench) if cell.sweep not in groups else None
            if unfinished is not None:
                unfinished.clear()
    for record in engine(list(groups.values()), bench, tell):
        if store is not None:
            store.write(record)
        there[record.cell] = record
    return [there[cell.hash] for cell in cells]


def budget(memory: float | None) -> int:
    """Bytes for gigabytes.

    Raises:
        StudyError: if the number is not above 0.
    """
    if memory is not None and not memory > 0:
        raise StudyError(f"The memory budget {memory} cannot be kept: expected gigabytes above 0.")
    return MEMORY if memory is None else int(memory * 1e9)
