"""Weights from files: safetensors, or ``torch.load(weights_only=True)``; never code, never more memory than they say."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SourceError

_NESTS = (
    "state_dict", "model_state_dict", "model", "net", "module", "weights",
    "state_dict_ema", "model_ema", "ema_state_dict", "ema",  # where there is nothing else, or they are asked for
)  # fmt: skip
_KEY = "?key="
_PREFIXES = ("module.", "_orig_mod.")
_SLACK = 64 * 2**20  # bytes: room for names, and for the small print of a checkpoint
_COPIES = 16  # a checkpoint may hold optimiser states and averages beside the weights, in double precision


State = dict[str, Tensor]


def load_weights(
    module: nn.Module, path: str | Path, *, name: str, renamed: Callable[[State], State] | None = None
) -> None:
    """Read a weights file into ``module``, in place, every name checked first.

    ``.safetensors``, or any file of ``torch.save`` (``.pt``, ``.pth``, ``.bin``, ``.ckpt``): a state dict, bare or
    nested under a usual key, with or without the prefixes of DataParallel and of compiled modules, or one common to all names.
    Of several state dicts in one file ``file.pt?key=ema`` chooses.

    Args:
        name: what errors call the model.
        renamed: gives tensors the names of today where the file has those of another version of the library.

    Raises:
        SourceError: if the file cannot be read, wants to run code, unpacks to more than it should, or does not fit.
    """
    own = module.state_dict()
    size = sum(t.numel() * t.element_size() for t in own.values() if isinstance(t, Tensor))
    state = _bare(read_weights(path, limit=_COPIES * size + _SLACK), own)
    complaint = _mismatch(own, state)
    if complaint and renamed is not None:
        state = renamed(state)
        complaint = _mismatch(own, state)
    if complaint:
        raise SourceError(
            f"The weights {_chosen(path)[0].name!r} do not fit {name}: {complaint}; check the name or classes=."
        )
    module.load_state_dict(state, strict=False)  # strict was done above, but for BatchNorm's counters


def read_weights(path: str | Path, *, limit: int) -> dict[str, Tensor]:
    """The tensors of a weights file by name, on the CPU.

    Args:
        limit: bytes; a file that would unpack to more is refused before it is unpacked.

    Raises:
        SourceError: if the file cannot be read, wants to run code, or is too large.
    """
    path, key = _chosen(path)
    if not path.is_file():
        raise SourceError(f"There is no weights file {str(path)!r}: expected a .safetensors, .pt or .pth file.")
    _check_size(path, limit)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    loaded = _read_torch(path)
    if key and (not isinstance(loaded, Mapping) or key not in loaded):
        held = ", ".join(map(str, list(loaded)[:6])) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise SourceError(f"The weights {path.name!r} hold no {key!r}: expected one of {held}; check {_KEY}.")
    return _tensors(loaded[key] if key else loaded, path)


def _chosen(path: str | Path) -> tuple[Path, str]:
    """The file, and the key that was asked for; a file may be called so itself."""
    name, asked, key = str(path).rpartition(_KEY)
    return (Path(path), "") if not asked or Path(path).is_file() else (Path(name), key)


def _check_size(path: Path, limit: int) -> None:
    packed = path.stat().st_size
    unpacked = packed
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except zipfile.BadZipFile as error:
            raise _unreadable(path, error) from error
        if unpacked > packed:  # torch.save stores, it does not compress
            raise SourceError(
                f"The weights {path.name!r} are a compressed archive that unpacks from {packed:,} to {unpacked:,} bytes: "
                "expected a file of torch.save, which is not compressed; refused, nothing was unpacked."
            )
    if unpacked > limit:
        raise SourceError(
            f"The weights {path.name!r} hold {unpacked:,} bytes: expected at most {limit:,} for this model; "
            "check that the file belongs to it."
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch has to say of a file is said here, if it matters
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        if wanted is None:
            raise _unreadable(path, error) from error
        raise SourceError(
            f"The weights {path.name!r} want to run code ({wanted.group(1)}): refused; expected tensors alone, save "
            "them again with torch.save(model.state_dict()) or as safetensors."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise _unreadable(path, error) from error  # what torch.load raises on bytes that are no checkpoint


def _unreadable(path: Path, error: Exception) -> SourceError:
    with open(path, "rb") as file:
        head = file.read(40)
    if path.suffix != ".safetensors" and head and not head.startswith(b"PK"):
        other = (
            "a pickle that is no file of torch.save, or a damaged one"
            if head[0] == 0x80
            else f"other content, {head!r}"
        )
        return SourceError(
            f"The weights {path.name!r} cannot be read: found {other}; expected a .safetensors file, or tensors by name in a file "
            "of torch.save; save them again so."
        )
    lines = str(error).strip().splitlines()
    return SourceError(
        f"The weights {path.name!r} cannot be read ({type(error).__name__}: {lines[0][:200] if lines else 'no message'}): "
        "expected a whole .safetensors file or a file of torch.save; it may be cut short, fetch it again."
    )


def _tensors(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The first mapping of names to tensors on the way down the usual keys."""
    at: Any = loaded
    while isinstance(at, Mapping):
        found = {str(key): value for key, value in at.items() if isinstance(value, Tensor)}
        below = next((at[key] for key in _NESTS if isinstance(at.get(key), Mapping)), None)
        if below is None or (found and not any(key in at for key in _NESTS)):
            if found:
                return found
            break
        at = below
    keys = ", ".join(map(str, list(loaded)[:6])) if isinstance(loaded, Mapping) else type(loaded).__name__
    raise SourceError(
        f"The weights {path.name!r} hold no state dict: found {keys}; expected names and tensors, bare or under one of "
        f"{', '.join(_NESTS)}."
    )


def _bare(state: dict[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state without wrappers' prefixes, as long as that makes more names fit."""
    while True:
        for prefix in _PREFIXES:
            if state and all(key.startswith(prefix) for key in state):
                shorter = {key.removeprefix(prefix): value for key, value in state.items()}
                if len(shorter.keys() & own.keys()) >= len(state.keys() & own.keys()):
                    state = shorter
                    break
        else:
            inner = {key.replace("._orig_mod.", "."): value for key, value in state.items()}
            return _short(inner if len(inner.keys() & own.keys()) > len(state.keys() & own.keys()) else state, own)


def _short(state: dict[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state without a prefix that all names share, such as that of a wrapping module, where then all fit."""
    parts = next(iter(state), "").split(".")
    for n in range(1, len(parts)):
        prefix = ".".join(parts[:n]) + "."
        if not all(key.startswith(prefix) for key in state):
            break
        shorter = {key.removeprefix(prefix): value for key, value in state.items()}
        if not _mismatch(own, shorter):
            return shorter
    return state


def _mismatch(own: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """What does not fit, in words; empty if all does. Files from before BatchNorm counted its batches fit too."""
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} (expected {tuple(own[key].shape)}, found {tuple(state[key].shape)})"
        for key in own
        if key in state and isinstance(own[key], Tensor) and own[key].shape != state[key].shape
    ]
    parts = (("missing", missing), ("unexpected", unexpected), ("wrong shape", shapes))
    return "; ".join(f"{len(names)} {what}: {_some(names)}" for what, names in parts if names)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
