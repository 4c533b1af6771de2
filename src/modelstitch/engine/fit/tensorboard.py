"""The curves of a fit in TensorBoard's own files, where a user asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import MissingExtraError
from ..sweep import Watch


@contextmanager
def watching(folder: str | Path | None) -> Iterator[Watch | None]:
    """A listener that writes every look at the validation split under ``folder``; None where no folder is given.

    Each stitch has tags of its own: "<bottom>@<layer> -> <top>@<layer>/<family> <objective>, seed 0, 1000
    examples/val/error", and the same with val/loss and fit/loss.
    The files are whole when the context ends, also after an error.

    Raises:
        MissingExtraError: if TensorBoard is not installed.
    """
    if folder is None:
        yield None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except (ImportError, RuntimeError) as error:  # RuntimeError: a protobuf that does not fit
        raise MissingExtraError(
            f"TensorBoard logging needs the package tensorboard, which cannot be used ({error}): install "
            "modelstitch[tensorboard], or leave tensorboard out."
        ) from error
    with SummaryWriter(str(folder)) as writer:

        def watch(what: str, step: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(f"{what}/{name}", value, step)

        yield watch
