"""The sums of a matrix in a file: an interrupted pass goes on from there, and further families need no pass at all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

from ..engine.sums import Group
from ..errors import StudyError
from ..study.run import describe_donor
from ..support import tensors
from ..support.files import make_folder, set_aside
from ..support.hashing import DamagedError
from ..support.reading import json_of

EVERY = 30.0  # seconds between two writes


class Kept:
    """A file that holds the sums as they grow.

    Args:
        path: the file, safetensors; None keeps nothing.
        identity: what the sums are of, plain values; sums of anything else are refused.
    """

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path, self.identity, self._written = path, json.loads(json.dumps(identity)), time.monotonic()

    def restore(self, groups: list[Group]) -> int:
        """Fill the reserved sums with those of the file; how many batches they hold, 0 without a file.

        A file that changed since it was written is set aside with a warning, and the pass begins anew.

        Raises:
            StudyError: the file holds other sums (the first difference is named).
        """
        if self.path is None or not self.path.exists():
            return 0
        try:
            with tensors.opened(self.path) as (file, metadata):
                found, counts = json_of(metadata["of"]), json_of(metadata["rows"])
                self._check(found)
                for key, grid in _grids(groups).items():
                    for name, target in grid.tensors().items():
                        target.copy_(file.get_tensor(f"{key}/{name}"))
                    grid.n = int(counts[key])
                return int(metadata["batches"])
        except DamagedError as error:
            if not _written_here(self.path):
                raise self._foreign(error) from error
            set_aside(self.path, f"{self.path} holds no sums of a matrix that are whole ({error})")
            return 0
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self._foreign(error) from error

    def save(self, groups: list[Group], batches: int, *, last: bool = False) -> None:
        """Write the sums of so many batches, whole or not at all; but for the last time, not too often."""
        if self.path is None or not (last or time.monotonic() - self._written >= EVERY):
            return
        grids = _grids(groups)
        sums = {
            f"{key}/{name}": value.cpu().clone()
            for key, grid in grids.items()
            for name, value in grid.tensors().items()
        }
        metadata = {
            "of": json.dumps(self.identity), "batches": str(batches),
            "rows": json.dumps({key: grid.n for key, grid in grids.items()}),
        }  # fmt: skip
        make_folder(self.path.parent)
        tensors.save(self.path, sums, metadata)
        self._written = time.monotonic()

    def _foreign(self, error: Exception) -> StudyError:
        return StudyError(
            f"{self.path} holds no sums of a matrix ({error}): expected a file that a matrix wrote; move it away."
        )

    def _check(self, found: dict[str, Any]) -> None:
        for key, value in self.identity.items():
            if found.get(key) != value:
                raise StudyError(
                    f"{self.path} holds the sums of another matrix: expected {key} = {value!r}, found {found.get(key)!r}; choose "
                    "another file, or move it away."
                )


def _written_here(path: Path) -> bool:
    """Whether a file begins as those of :meth:`Kept.save` do: one of somebody else is not touched."""
    with open(path, "rb") as file:
        head = file.read(1 << 20)
    return b'"batches"' in head and b'"rows"' in head


def _grids(groups: list[Group]) -> dict[str, Any]:
    return {f"{g}.{p}": grid for g, group in enumerate(groups) for p, grid in enumerate(group.grids)}


def identity_of(
    networks: tuple[Any, Any], layers: tuple[tuple[str, ...], tuple[str, ...]], data: Any, spec: Any,
    *, seed: int, positions: int | None, dtype: torch.dtype,
) -> dict[str, Any]:  # fmt: skip
    """What the sums of a pass depend on: the augmentation by its recipe, and how each network sees a sample."""
    donors = {side: describe_donor(network) for side, network in zip(("bottom", "top"), networks)}
    return {
        **{side: donor.fingerprint for side, donor in donors.items()},
        "bottom layers": list(layers[0]), "top layers": list(layers[1]), "data": data.fingerprint,
        "batch size": spec.batch_size,
        "augment": data.augment.recipe if spec.augment and data.augment is not None else "none",
        "seed": seed, "positions": positions, "sums": str(dtype).removeprefix("torch."),
        **{f"{side} view": donor.view for side, donor in donors.items()},
    }  # fmt: skip
