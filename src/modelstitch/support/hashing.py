"""What a value is, as SHA-256 in hex: one hasher for all that is kept, and seals that say when something changed.

Of plain values the hash is that of the one JSON text that stands for them. No torch before a tensor comes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from ..errors import StudyError

if TYPE_CHECKING:
    from torch import Tensor

HashedPart: TypeAlias = "str | bytes | memoryview | Tensor"

SEAL = "digest"
_CHUNK = 1 << 22


class DamagedError(ValueError):
    """What was read is not what was written."""


class Hash:
    """The SHA-256 of parts that are added one after the other: texts, bytes, and the values of tensors.

    Args:
        *parts: the first ones.
    """

    def __init__(self, *parts: HashedPart) -> None:
        self._inner = hashlib.sha256()
        self.add(*parts)

    def add(self, *parts: HashedPart) -> None:
        """Count more; of a tensor the values alone, whatever its device."""
        for part in parts:
            if isinstance(part, str):
                part = part.encode()
            self._inner.update(part if isinstance(part, bytes | memoryview) else _values(part))

    def hex(self, digits: int = 64) -> str:
        """The first so many of 64 hex digits."""
        return self._inner.hexdigest()[:digits]


def of(*parts: HashedPart, digits: int = 64) -> str:
    """The hash of texts, bytes and the values of tensors, one after the other: hex digits."""
    return Hash(*parts).hex(digits)


def number(*parts: HashedPart) -> int:
    """The same as a number of 56 bits: a seed."""
    return int(of(*parts, digits=14), 16)


def of_file(*paths: Path) -> str:
    """The hash of a file's bytes, or of several files one after the other.

    Raises:
        OSError: one cannot be read.
    """
    found = Hash()
    for path in paths:
        with open(path, "rb") as file:
            _add_rest(file, found)
    return found.hex()


def of_stream(file: IO[bytes]) -> str:
    """The hash of what a file holds from where it stands on."""
    found = Hash()
    _add_rest(file, found)
    return found.hex()


def _add_rest(file: IO[bytes], found: Hash) -> None:
    while chunk := file.read(_CHUNK):
        found.add(chunk)


def of_json(value: Any) -> str:
    """The hash of plain values: equal for equal JSON, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return of(text.encode("utf-8", "surrogatepass"))


def canonical_json(value: Any, *, what: str = "record", indent: int | None = None) -> str:
    """Write ``value`` as the one JSON text that stands for it.

    Args:
        value: mappings with string keys, sequences, strings, numbers, booleans, None.
        what: how an error calls the whole value.
        indent: spaces per level for a file that people read; the order of keys stays the same.

    Raises:
        StudyError: NaN or infinity (the metric is named), or a value that JSON cannot hold.
    """
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(
            value, sort_keys=True, allow_nan=False, ensure_ascii=False, indent=indent, separators=separators
        )
        text.encode()  # half a surrogate pair in a name cannot be stored
        return text
    except (TypeError, ValueError) as error:
        for place, leaf in _leaves(value, what):
            if isinstance(leaf, float) and not math.isfinite(leaf):
                raise StudyError(
                    f"The {place} is {leaf}: expected a finite number or null; "
                    "find out where the number was lost before it is stored."
                ) from error
        raise StudyError(f"The {what} cannot be written as JSON: expected plain values, found {error}.") from error


def cell_hash(config: Mapping[str, Any]) -> str:
    """Name of a cell: the first 16 hex digits of the SHA-256 of its config's canonical JSON.

    Raises:
        StudyError: as ``canonical_json``.
    """
    return of(canonical_json(dict(config), what="config"), digits=16)


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with the words for its place: ``metric 'penalty', value``, not ``metrics[3]``."""
    if isinstance(value, Mapping):
        head = f"{place}, metric {value['metric']!r}" if "metric" in value else place
        for key, part in value.items():
            yield from _leaves(part, f"{head}, {key}")
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part, place)
    else:
        yield place, value


def of_tensors(tensors: Mapping[str, Tensor], beside: Mapping[str, str] | None = None) -> str:
    """The hash of named tensors (values, types and shapes) and of texts beside them."""
    digest = Tensors(beside)
    for name in sorted(tensors):
        digest.add(name, tensors[name])
    return digest.hex()


class Tensors:
    """The hash of tensors that are added one by one, in the order of their names.

    Args:
        beside: texts that count, too.
    """

    def __init__(self, beside: Mapping[str, str] | None = None) -> None:
        self._digest = Hash(of_json(dict(beside or {})))

    def add(self, name: str, value: Tensor) -> None:
        """Count one more."""
        self._digest.add(json.dumps([name, str(value.dtype), list(value.shape)]), value)

    def hex(self) -> str:
        """64 hex digits."""
        return self._digest.hex()


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with the hash of all of them beside them, under ``digest``."""
    plain = {key: value for key, value in values.items() if key != SEAL}
    return {**plain, SEAL: of_json(json.loads(json.dumps(plain)))}


def unsealed(values: Any) -> dict[str, Any]:
    """The values of ``sealed`` without their seal.

    Raises:
        DamagedError: they are no such values, or one of them changed.
    """
    if not isinstance(values, dict) or not isinstance(values.get(SEAL), str):
        raise DamagedError("it has no digest")
    plain = {key: value for key, value in values.items() if key != SEAL}
    if (found := of_json(plain)) != values[SEAL]:
        raise DamagedError(f"its content has the digest {found[:16]}, it was written with {values[SEAL][:16]}")
    return plain


def _values(tensor: Tensor) -> bytes | memoryview:
    import torch

    held = tensor.detach().cpu().contiguous().reshape(-1)
    return held.view(torch.uint8).numpy().data if held.numel() else b""
