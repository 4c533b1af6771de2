"""The curves of a fit in TensorBoard's own files, where a user asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import MissingExtraError
from ...support.progress import Event, OnEvent


@contextmanager
def writing(folder: str | Path) -> Iterator[OnEvent]:
    """A listener that writes every look at the validation split under ``folder``.

    Each stitch has tags of its own: "<bottom>@<layer> -> <top>@<layer>/<family> <objective>, seed
    0/val/error", and the same with val/loss and fit/loss.
    The files are whole when the context ends, also after an error.

    Raises:
        MissingExtraError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except (ImportError, RuntimeError) as error:  # RuntimeError: a protobuf that does not fit
        raise MissingExtraError(
            f"TensorBoard logging needs the package tensorboard, which cannot be used ({error}): install "
            "modelstitch[tensorboard], or leave tensorboard out."
        ) from error
    with SummaryWriter(str(folder)) as writer:

        def hear(event: Event) -> None:
            if event.kind == "look":
                for name, value in event.values.items():
                    writer.add_scalar(f"{event.what}/{name}", value, event.step)

        yield hear
