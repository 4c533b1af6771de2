"""The files of a saved stitch: a description sealed by a digest, and a file of tensors for each part."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..support import hashing, tensors
from ..support.files import make_folder, write_text
from ..support.reading import read_json
from .sides import NAMES

_DESCRIBED = "stitch.json"
_OWN = re.compile(rf"(stitcher|statistics|{'|'.join(NAMES)})(-[0-9a-f]{{12}})?\.safetensors")


def write(
    folder: Path, parts: Mapping[str, tuple[Mapping[str, Tensor], dict[str, str]]], described: Mapping[str, Any]
) -> None:
    """Write a stitch; one that was there before stays whole until the new one is.

    Args:
        folder: where; it is made if it is not there.
        parts: tensors and texts by the name of the part.
        described: all else, plain values.

    Raises:
        StudyError: the disk is full, or the folder cannot be written to.
    """
    make_folder(folder)
    before = _files(folder)
    files: dict[str, list[str]] = {}
    for part, (values, texts) in parts.items():
        beside = {"of": part, **texts}
        digest = hashing.of_tensors(values, beside)
        name = f"{part}.safetensors"
        if (folder / name).exists() and before.get(part, [name, ""])[1] != digest:
            name = f"{part}-{digest[:12]}.safetensors"
        tensors.save(folder / name, values, beside)
        files[part] = [name, digest]
    text = json.dumps(hashing.sealed({**described, "files": files}), indent=2, sort_keys=True)
    write_text(folder / _DESCRIBED, text + "\n")
    written = {name for name, _ in files.values()}
    for old in folder.glob("*.safetensors"):
        if _OWN.fullmatch(old.name) and old.name not in written:  # of another stitch
            old.unlink(missing_ok=True)


def described_in(folder: Path) -> dict[str, Any]:
    """The description of the stitch in a folder.

    Raises:
        OSError, ValueError: there is none, or it changed since it was written.
    """
    return hashing.unsealed(read_json(folder / _DESCRIBED))


def _files(folder: Path) -> dict[str, list[str]]:
    """The files of the stitch that a folder holds, by part; nothing where it holds none that can be read."""
    try:
        found = described_in(folder)
    except (OSError, ValueError):
        return {}
    files: dict[str, list[str]] = found.get("files", {})
    return files


def part_in(folder: Path, files: dict[str, list[str]], part: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and texts of one part of a saved stitch, those that its description was written with."""
    name, digest = files[part]
    if not isinstance(name, str) or name != Path(name).name:
        raise hashing.DamagedError(f"{name!r} is no name of a file in it")
    values, texts = tensors.load(folder / name)
    if texts.get("of") != part or hashing.of_tensors(values, texts) != digest:
        raise hashing.DamagedError(f"{name} is of another stitch")
    return values, texts
