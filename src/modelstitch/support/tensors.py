"""Named tensors in a safetensors file, whole or not at all, with a digest that tells when one of them changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from . import hashing
from .files import write_with
from .hashing import DamagedError


def save(path: Path, tensors: Mapping[str, Tensor], beside: Mapping[str, str] | None = None) -> str:
    """Write tensors and texts beside them (what they are for, above all); their digest is returned.

    Raises:
        StudyError: the disk is full, or the folder cannot be written to.
    """
    held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    texts = dict(beside or {})
    digest = hashing.of_tensors(held, texts)

    def put(target: Path) -> None:
        write(target, held, {**texts, hashing.SEAL: digest})

    write_with(path, put)
    return digest


def write(path: Path, tensors: Mapping[str, Tensor], beside: Mapping[str, str] | None = None) -> None:
    """Write a plain safetensors file where nothing is in the way.

    Raises:
        OSError: whatever the file system says.
    """
    try:
        save_file(dict(tensors), path, metadata=dict(beside) if beside else None)
    except SafetensorError as error:
        raise OSError(str(error)) from error


@contextmanager
def opened(path: Path, device: torch.device | str = "cpu") -> Iterator[tuple[Any, dict[str, str]]]:
    """A file that ``save`` wrote, and the texts beside its tensors; every tensor has been checked.

    Raises:
        DamagedError: it is no such file, or one of its bytes changed.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            texts = dict(file.metadata() or {})
            digest = texts.pop(hashing.SEAL, None)
            if digest is None:
                raise DamagedError("it has no digest")
            found = hashing.Tensors(texts)
            for name in sorted(file.keys()):
                found.add(name, file.get_tensor(name))
            if found.hex() != digest:
                raise DamagedError(
                    f"its content has the digest {found.hex()[:16]}, it was written with {str(digest)[:16]}"
                )
            yield file, texts
    except SafetensorError as error:
        raise DamagedError(f"it is no whole safetensors file ({error})") from error


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file that ``save`` wrote, and the texts beside them.

    Each has memory of its own, which begins where a new tensor's does: a product sums in another order elsewhere.

    Raises:
        DamagedError, OSError: as ``opened``.
    """
    with opened(path) as (file, texts):
        return {name: file.get_tensor(name).clone() for name in file.keys()}, texts  # noqa: SIM118
