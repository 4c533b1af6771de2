"""What a value is, as SHA-256 in hex: one hasher for all that is kept, and seals that say when something changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

SEAL = "digest"


class DamagedError(ValueError):
    """What was read is not what was written."""


def of_bytes(content: bytes | memoryview) -> str:
    """The hash of bytes: 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def of_file(path: Path) -> str:
    """The hash of a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_json(value: Any) -> str:
    """The hash of plain values: equal for equal JSON, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return of_bytes(text.encode("utf-8", "surrogatepass"))


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
        self._digest = hashlib.sha256(of_json(dict(beside or {})).encode())

    def add(self, name: str, value: Tensor) -> None:
        """Count one more."""
        import torch

        held = value.detach().cpu().contiguous()
        self._digest.update(json.dumps([name, str(held.dtype), list(held.shape)]).encode())
        if held.numel():
            self._digest.update(held.reshape(-1).view(torch.uint8).numpy().data)

    def hex(self) -> str:
        """64 hex digits."""
        return self._digest.hexdigest()


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
