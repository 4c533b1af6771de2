"""Data by name, as the command line takes them: one row of ``READERS`` for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..network import Network
from ..support.downloads import hub_folder, is_hub_id
from ..support.kinds import kinds
from ..support.reading import told
from ..support.words import did_you_mean, near
from .data import Data
from .readers.tokenizer import Tokenizer, bare_task
from .readers.torchvision import SETS, load_torchvision
from .tasks import Task, task_of
from .tasks.task import Each


@dataclass(frozen=True)
class DataRequest:
    """The name of data, taken apart, with the keywords of ``load_data``.

    Attributes:
        kind: what stands before the first colon.
        place: what stands behind it; "" where there is none.
        task: what labels mean, where it was said; a reader that reads one kind of labels need not look at it.
    """

    kind: str
    place: str
    seed: int
    limit: int | None
    download: bool
    tokenizer: str | Path | Network | None
    task: Task | None = None


class Reader(NamedTuple):
    """One kind of data: how its name is written, and what reads it, imported when it is called."""

    written: str
    read: Callable[[DataRequest], Data]
    place: bool = True  # whether a name without a place is refused


def _in(module: str, function: str, *more: str) -> Callable[[DataRequest], Data]:
    """The reader of that name in its file, which is imported when it is called; ``more`` is what it is told beside."""

    def read(asked: DataRequest) -> Data:
        reader = getattr(import_module(f".readers.{module}", __package__), function)
        told: dict[str, Any] = {name: getattr(asked, name) for name in ("seed", "limit", *more)}
        found: Data = reader(*([asked.place] if asked.place else []), **told)
        return found

    return read


def _text(asked: DataRequest) -> Data:
    from .readers.text import load_text

    reader, length, features = _reader(asked.tokenizer)
    return load_text(
        asked.place, reader, length, features=features, task=asked.task, seed=asked.seed, limit=asked.limit
    )


def _torchvision(asked: DataRequest) -> Data:
    return load_torchvision(
        asked.kind, asked.place or "data", seed=asked.seed, limit=asked.limit, download=asked.download
    )


READERS = {
    "digits": Reader("digits", _in("packaged", "load_digits"), place=False),
    "digit-traits": Reader("digit-traits", _in("packaged", "load_traits"), place=False),
    "diabetes": Reader("diabetes", _in("packaged", "load_diabetes"), place=False),
    "shapes": Reader("shapes", _in("packaged", "load_shapes"), place=False),
    "parquet": Reader("parquet:DIR", _in("parquet", "load_parquet")),
    "folder": Reader("folder:DIR", _in("folder", "load_folder")),
    "masks": Reader("masks:DIR", _in("masks", "load_masks")),
    "arrays": Reader("arrays:FILE", _in("arrays", "load_arrays", "task")),
    "text": Reader("text:FILE", _text),
    **{name: Reader(f"{name}:DIR", _torchvision, place=False) for name in SETS},
}


@told(DataError)
@kinds("spec", "limit", "task", "metric", settled=True)
def load_data(
    spec: str | Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    download: bool = False,
    tokenizer: str | Path | Network | None = None,
    task: str | Task | None = None,
    metric: str | Each | Task | None = None,
) -> Data:
    """Load data by name.

    Args:
        spec: ``digits``; ``digit-traits`` (several labels at once); ``diabetes`` (a number to predict); ``shapes`` (a
            class for each pixel); ``parquet:DIR`` (Hugging Face image layout);
            ``folder:DIR`` (a sub-folder for each class); ``masks:DIR`` (images/ and masks/, a class for each pixel);
            ``arrays:FILE`` (.npz, a folder of .npy files, or a table of numbers: inputs and labels of any task);
            ``cifar10``, ``cifar100``, ``mnist``, ``fashion-mnist``,
            ``svhn``, each with ``:DIR`` (default ``data``); ``text:FILE`` (a plain file in chunks) or
            ``text:FILE.parquet?column=text&label=label`` (also .csv, .tsv, .jsonl, or a folder of train and test
            tables).
        seed: draws the validation samples, if the source has no validation split; the test split never depends on it.
        limit: read at most so many samples of the source's train part and of its test part.
        download: let torchvision download a missing set.
        tokenizer: for text, the network that will read it (for its tokenizer and length), its name ``hf:FOLDER``, or a
            folder.
        task: what labels mean, as for ``modelstitch.Data``; by default what the source says.
        metric: what the error of a sample is, in place of the task's own: a name ("absolute", "top-5", ...), or as for
            ``Data.measured_by``.

    Raises:
        DataError: if the spec is unknown or its content cannot be used.
        MissingExtraError: if the loader needs a package that is not installed.

    Returns:
        Data; samples are read when they are needed, if the source allows it.

    Examples:
        >>> digits = ms.load_data("digits")
        >>> digits.size("test"), digits.sample_shape
        (597, (1, 8, 8))
    """
    spec = str(spec)
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise DataError(f"limit must be 1 or more, found {limit!r:.60}.")
    family, _, rest = spec.partition(":")
    kind, _, place = rest.partition(":") if family == "torchvision" else (family, "", rest)
    reader = READERS.get(kind) if family != "torchvision" or kind in SETS else None
    if reader is None or (reader.place and not place) or (reader.written == kind and place):
        raise DataError(f"The data {spec!r} is not known: {_meant(spec, kind, place)}")
    wanted = task_of(task)
    data = reader.read(DataRequest(kind, place, seed, limit, download, tokenizer, wanted))
    if wanted is not None and data.task.name != wanted.name:
        data = data.of_task(wanted)
    return data if metric is None else data.measured_by(metric)


def _meant(spec: str, kind: str, place: str) -> str:
    """What is expected, and what may be meant by data of no known name."""
    path = Path(spec)
    if kind in READERS and not place:
        return f"expected {READERS[kind].written!r}, with what is read behind the colon."
    if kind in READERS and READERS[kind].written == kind:
        return f"expected {kind!r} alone."
    if path.is_dir():
        likely = [f"folder:{spec}", f"parquet:{spec}"]
    elif path.is_file():
        likely = [f"{'arrays' if path.suffix in ('.npz', '.npy', '.csv') else 'text'}:{spec}"]
    else:
        likely = [READERS[name].written for name in near(kind, READERS)]
    known = f"expected one of {', '.join(reader.written for reader in READERS.values())}"
    return f"{known}; {did_you_mean(likely)}" if likely else f"{known}."


def _reader(tokenizer: str | Path | Network | None) -> tuple[str | Path | Tokenizer | None, int | None, bool]:
    """The tokenizer, the tokens that a network takes, and whether it has no head, so that texts need no labels."""
    if isinstance(tokenizer, Network):
        found = getattr(tokenizer.view, "tokenizer", None)
        if found is None:
            raise DataError(
                f"The network {tokenizer.name!r} carries no tokenizer: expected one in its folder, or tokenizer= a "
                f"folder."
            )
        return found, getattr(tokenizer.view, "length", None), not tokenizer.has_head
    if tokenizer is None:
        return None, None, False
    folder, _, query = str(tokenizer).removeprefix("hf:").partition("?")
    if is_hub_id(folder):
        folder = str(hub_folder(folder, weights=False))
    options = dict(item.split("=", 1) for item in query.split("&") if "=" in item)
    size = options.get("size", "")
    return folder, int(size) if size.isdecimal() else None, options.get("task", bare_task(folder)) == "features"
