"""What commands print goes by here: plain text that steers no terminal."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from typing import TextIO

import click

from ..support.files import SetAside
from ..support.shown import visible


def say(text: object, *, err: bool = False, file: TextIO | None = None) -> None:
    """Print a line to standard output, to standard error, or to another stream."""
    click.echo(visible(text), err=err, file=file)


def say_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning: those of kept files as a sentence, those of libraries with the place they come from."""
    if issubclass(category, SetAside):
        say(f"modelstitch: {message}", err=True)
    else:
        say(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"), err=True)


def lenient_streams() -> None:
    """A character that the terminal's encoding lacks is written out, too."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # a notebook's streams are none of a file
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
