"""What commands print goes by here: plain text that steers no terminal, and as much of it as was asked for."""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

import click

from ..support.files import SetAside
from ..support.shown import visible


@dataclass
class Manner:
    """How a command speaks.

    Attributes:
        quiet: no progress, and no notes on the way.
        verbose: of a mistake, the lines of code that it comes from, too.
        as_json: standard output is for one JSON document; sentences go to standard error.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False


def manner() -> Manner:
    """That of the command that runs; the usual one where none does."""
    context = click.get_current_context(silent=True)
    found: Manner = Manner() if context is None else context.meta.setdefault(__name__, Manner())
    return found


def say(text: object, *, err: bool = False, file: TextIO | None = None) -> None:
    """Print a line to standard output, to standard error, or to another stream."""
    if manner().as_json and not err:
        err, file = True, None
    click.echo(visible(text), err=err, file=file)


def document(text: str) -> None:
    """Print JSON, whose strings steer nothing."""
    click.echo(text)


def remark(text: object) -> None:
    """Print a line about how the work is done to standard error, unless the user wants it quiet."""
    if not manner().quiet:
        say(text, err=True)


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
