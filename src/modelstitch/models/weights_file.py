"""What a weights file holds: tensors by name and what lies beside them; never code, never more memory than it says."""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import pickle
import re
import struct
import types
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import SourceError, first_line
from ..support import hashing

KEY = "?key="
INDEX = ".index.json"
MOST_PICKLED = 16 * 2**20  # bytes of a checkpoint beside the numbers of its tensors
_JSON = 64 * 2**20
_EXPECTED = "expected a .safetensors, .pt or .pth file"
_CHUNK = 2**22


def chosen(path: str | Path) -> tuple[Path, str]:
    """The file, and the key that was asked for; a file may be called so itself."""
    name, asked, key = str(path).rpartition(KEY)
    return (Path(path), "") if not asked or Path(path).is_file() else (Path(name), key)


def file_hash(path: Path) -> str:
    """The sha256 of a file, of an index that of its files one after the other: hex digits."""
    return hashing.of_file(*parts_of(path))


def parts_of(path: Path) -> list[Path]:
    """The files that hold the tensors: the file itself, or those that an index names, which lie beside it.

    Raises:
        SourceError: if there is no such file, or the index cannot be read or names files elsewhere.
    """
    if path.is_dir():
        inside = [p.name for p in sorted(path.iterdir()) if p.suffix in (".safetensors", ".bin", ".pt", ".pth")]
        raise SourceError(
            f"The weights {str(path)!r} are a folder: {_EXPECTED}, such as {', '.join(inside[:3]) or 'one in it'}."
        )
    if not path.is_file():
        raise SourceError(f"There is no weights file {str(path)!r}: {_EXPECTED}.")
    if not path.name.endswith(INDEX):
        return [path]
    names = _indexed(path)
    parts = [path.with_name(name) for name in names if isinstance(name, str) and Path(name).name == name]
    if len(parts) < len(names) or not parts:
        raise SourceError(f"The index {path.name!r} names no files, or files elsewhere: expected files beside it.")
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise SourceError(
            f"The index {path.name!r} names {len(parts)} files of which {len(missing)} are missing "
            f"({', '.join(missing[:3])}): expected them beside it; fetch them, too."
        )
    return parts


def _indexed(path: Path) -> list[Any]:
    """What an index names, each once."""
    try:
        if path.stat().st_size > _JSON:
            raise ValueError("it is too large")
        return sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(
            f"The index {path.name!r} cannot be read ({type(error).__name__}): expected JSON with a weight_map of "
            f"tensors and files."
        ) from error


def read(path: Path, *, limit: int, beside: int = MOST_PICKLED, names_only: bool = False) -> Any:
    """What a file holds: tensors by name, or whatever ``torch.save`` was given, on the CPU.

    Args:
        limit: bytes; a file that would unpack to more is refused before it is unpacked.
        beside: bytes; how much a file of ``torch.save`` may hold beside its tensors' numbers.
        names_only: tensors come without their numbers.

    Raises:
        SourceError: if the file cannot be read, holds more than tensors and plain values, or is too large.
    """
    parts = parts_of(path)
    whole: dict[str, Any] = {}
    for part in parts:
        _check_size(part, limit, beside)
        limit -= part.stat().st_size
        held = _read_safetensors(part, names_only) if _is_safetensors(part) else _read_torch(part, names_only)
        if len(parts) == 1:
            return held
        if not isinstance(held, Mapping):
            raise SourceError(f"The weights {part.name!r} hold {type(held).__name__}: expected tensors by name.")
        whole |= held
    return whole


def _is_safetensors(path: Path) -> bool:
    """By what stands in it: the size of a header, and a header in JSON."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size:
        return True
    return path.suffix == ".safetensors" and not head.startswith((b"PK\x03\x04", b"\x80"))


def _check_size(path: Path, limit: int, beside: int) -> None:
    packed = path.stat().st_size
    unpacked = packed
    entries = [] if _is_safetensors(path) else _entries(path)
    if entries:
        unpacked = sum(entry.file_size for entry in entries)
        _check_archive(path, [entry.filename.partition("/")[2] for entry in entries])
        pickled = max((e.file_size for e in entries if e.filename.endswith("data.pkl")), default=0)
        if unpacked > packed:  # torch.save stores, it does not compress
            raise SourceError(
                f"The weights {path.name!r} are a compressed archive that unpacks from {packed:,} to {unpacked:,} "
                "bytes: expected a file of torch.save, which is not compressed; refused, nothing was unpacked."
            )
        if pickled > beside:
            raise SourceError(
                f"The weights {path.name!r} hold {pickled:,} bytes of names and other values: expected at most "
                f"{beside:,}; save the state dict alone."
            )
    if unpacked > limit:
        raise SourceError(
            f"The weights {path.name!r} hold {unpacked:,} bytes: expected at most {limit:,} for this model; "
            "check that the file belongs to it."
        )


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    """What an archive says that it holds; nothing where the file is none."""
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _check_archive(path: Path, names: list[str]) -> None:
    """Refuse archives of programs: TorchScript, torch.export."""
    for kind, marks, way in (
        ("TorchScript", ("constants.pkl", "code/"), "torch.jit.load({}).state_dict()"),
        (
            "torch.export",
            ("archive_format", "serialized_exported_program", "models/"),
            "torch.export.load({}).state_dict",
        ),
    ):
        if any(name.startswith(marks) for name in names):
            raise SourceError(
                f"The weights {path.name!r} are a program of {kind}, code and weights in one: expected tensors alone; "
                f"save those with torch.save({way.format(repr(path.name))}, 'weights.pt'), where you trust the file."
            )


def _read_safetensors(path: Path, names_only: bool) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        if names_only:
            with safe_open(path, "pt") as file:
                return {name: torch.empty(0) for name in list(file.keys())}
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path, names_only: bool) -> Any:
    try:
        with warnings.catch_warnings(), _inert():
            warnings.simplefilter("ignore")  # what torch has to say of a file is said here, if it matters
            with path.open("rb") as file:  # a path's ending would decide how it is read
                return torch.load(file, map_location="meta" if names_only else "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error)) or re.search(r"unsupported GLOBAL (\S+)", str(error))
        if wanted is None:
            raise _unreadable(path, error) from error
        raise SourceError(
            f"The weights {path.name!r} name {wanted.group(1)}, which is neither a tensor nor one of the plain values "
            "that are read: refused, since no code of a file is run; expected tensors alone, save them again with "
            "torch.save(model.state_dict()) or as safetensors."
        ) from error
    except (MemoryError, RecursionError, Exception) as error:  # what torch.load raises on bytes that are no checkpoint
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> SourceError:
    try:
        with open(path, "rb") as file:
            head = file.read(40)
    except OSError as denied:
        return SourceError(f"The weights {path.name!r} cannot be read ({denied.strerror}): check the file's rights.")
    if path.suffix != ".safetensors" and head and not head.startswith(b"PK"):
        other = (
            "a pickle that is no file of torch.save, or a damaged one"
            if head[0] == 0x80
            else f"other content, {head!r}"
        )
        return SourceError(
            f"The weights {path.name!r} cannot be read: found {other}; expected a .safetensors file, or tensors by "
            "name in a file of torch.save; save them again so."
        )
    return SourceError(
        f"The weights {path.name!r} cannot be read ({type(error).__name__}: {first_line(error)}): "
        "expected a whole .safetensors file or a file of torch.save; it may be cut short, fetch it again."
    )


class _Nothing:
    """Stands where a checkpoint holds a value of no use here; made and filled, it does nothing."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _mapping(*args: Any) -> dict[Any, Any]:
    return {}


def _list(*args: Any) -> list[Any]:
    return []


def _inert() -> AbstractContextManager[None]:
    """Values without effect that training checkpoints hold beside tensors, by the names that pickles give them."""
    plain = "list dict int float str bool tuple slice range frozenset"
    known: list[Any] = [
        *(argparse.Namespace, types.SimpleNamespace, torch.torch_version.TorchVersion, np.ndarray, np.dtype),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
        *(kind for kind in vars(np.dtypes).values() if isinstance(kind, type)),
        *((_Nothing, f"builtins.{kind}") for kind in plain.split()),
        *((_mapping, "collections.defaultdict"), (_list, "collections.deque"), (_Nothing, "uuid.UUID")),
        *((dict, name) for name in _SETTINGS),
    ]
    for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath):
        names = (
            kind.__name__,
            kind.__name__.removeprefix("Pure"),
            *(["Path"] if kind is pathlib.PurePosixPath else []),
        )
        known += [kind, *((kind, f"{room}.{name}") for room in ("pathlib", "pathlib._local") for name in names)]
    for room in ("numpy.core.multiarray", "numpy._core.multiarray"):
        scalar, rebuilt = np._core.multiarray.scalar, np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        known += [(scalar, f"{room}.scalar"), (rebuilt, f"{room}._reconstruct")]
    return torch.serialization.safe_globals(known)


_SETTINGS = (
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "easydict.EasyDict",
    "yacs.config.CfgNode",
    "addict.addict.Dict",
    "munch.Munch",
)
