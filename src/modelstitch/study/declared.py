"""A declared study: donors loaded by name, then planned and run like any comparison."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.corrupt import second_data
from ..data.data import Data
from ..data.load import load_data
from ..models.load import imported_files, load_for, register
from ..network import Network
from ..support.device import pick_device
from ..support.kinds import kinds
from ..support.progress import Tell
from ..views import Normalise
from .engines import Engine, local
from .needs import Needs
from .plan import Shard
from .prepared import Prepared
from .run import plan_run, run
from .spec import StudySpec
from .store import Store
from .sweeps.bench import Bench

if TYPE_CHECKING:
    from ..records.record import Record


@kinds("device", settled=True)
def run_study(
    spec: StudySpec,
    out: str | Path,
    *,
    device: str = "auto",
    tell: Tell | None = None,
    address: str | None = None,
    shard: Shard | None = None,
    workers: int = 1,
) -> tuple[list[Record], dict[str, Any]]:
    """Run what is missing of a study, keep every finished cell in ``out``; return all records and the plain spec.

    Args:
        workers: processes of this machine that share the work and this one's threads.
        shard: run, and return, these cells alone; all shards share ``out``, and may run at once.
        address: of a Ray cluster, where that is the engine.

    Raises:
        StudyError: if ``out`` holds another study or cannot be written, or a Ray cluster fails.
        SourceError, DataError: if a donor, the data or Ray cannot be loaded.
    """
    store = Store(out, spec)  # first of all: a folder that cannot be used should not cost a training run
    with store.begun():
        engine = _engine(spec, device, address, workers)
        records = run(
            _asked(spec),
            store=store,
            device="cpu" if spec.engine == "ray" else device,
            tell=tell,
            engine=engine,
            whole=True,
            shard=shard,
        )
    return records, store.spec


@kinds("device", settled=True)
def plan_study(spec: StudySpec, out: str | Path, *, device: str = "auto", shard: Shard | None = None) -> Needs:
    """What ``run_study`` with these arguments will take; nothing is fitted, and nothing written.

    Raises:
        StudyError, SourceError, DataError: as ``run_study`` before it fits anything.
    """
    store = Store.beheld(out, spec)
    return plan_run(_asked(spec), store=store, device=device, shard=shard)


def _asked(spec: StudySpec) -> Prepared:
    """What a study is of: the donors that its pairs need, its data, and a second test set if it has one."""
    data, second = data_of(spec)
    pairs = spec.ordered_pairs()
    others = [other for top, other in spec.other_seeds.items() if any(top == above for _, above in pairs)]
    names = dict.fromkeys([*(name for pair in pairs for name in pair), *others])
    return Prepared(spec, [_donor(spec, name, data) for name in names], data, second)


def open_bench(spec: StudySpec, *, device: str, folder: str, files: tuple[Path, ...]) -> Bench:
    """What the cells of a study work on, opened in another process; donors are loaded when they are asked for.

    Args:
        folder: that the study's paths are relative to; left where it is if this machine has none of that name.
        files: Python files of the user's own that build models.
    """
    if os.path.isdir(folder):
        os.chdir(folder)
    for file in files:
        register(file)
    data, second = data_of(spec)
    return Bench(_LazyDonors(spec, data), data, spec.fit, pick_device(device), second=second)


class _LazyDonors(dict[str, Network]):
    """The donors of a study by name, each loaded when it is asked for."""

    def __init__(self, spec: StudySpec, data: Data) -> None:
        super().__init__()
        self._spec, self._data = spec, data

    def __contains__(self, name: object) -> bool:
        return name in self._spec.donors

    def __missing__(self, name: str) -> Network:
        self[name] = _donor(self._spec, name, self._data)
        return self[name]


def _engine(spec: StudySpec, device: str, address: str | None, workers: int) -> Engine:
    opened = partial(open_bench, spec, device=device, folder=os.getcwd(), files=imported_files())
    if spec.engine == "ray":
        from .engines import ray

        return ray.engine(opened, device=device, address=address)
    if workers == 1:
        return local.run
    from .engines import processes

    return processes.engine(opened, workers)


def data_of(spec: StudySpec) -> tuple[Data, Data | None]:
    """The study's data, and the second test set if it has one.

    Raises:
        DataError: they cannot be read.
    """
    models = [str(ref.model) for ref in spec.donors.values() if str(ref.model).startswith("hf:")]
    tokenizer = models[0] if models else None
    data = load_data(spec.data, limit=spec.limit, tokenizer=tokenizer, task=spec.task, metric=spec.metric)
    return data, second_data(spec.second, data, tokenizer=tokenizer) if spec.second else None


def _donor(spec: StudySpec, name: str, data: Data) -> Network:
    ref = spec.donors[name]
    model = ref.model if ref.model is not None else f"file:{ref.folder}"
    view = None if ref.mean is None else Normalise(ref.mean, ref.std)
    return load_for(data, model, weights=ref.weights, name=name, view=view, seed=ref.seed or 0)
