"""The command line: a thin shell over the public functions. Commands are loaded when they run, so help is quick."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from ..errors import StitchError
from ..support.interrupts import INTERRUPTS
from ..support.memory import keep_heap, wait_briefly
from ..support.words import did_you_mean, near
from .common import lenient_streams, manner, say, say_warning

_COMMANDS = {
    "demo": ("demo", "Train small donors on real digits, stitch every block, write a report."),
    "layers": ("layers", "List a model's layers: shape, exact cut or why not."),
    "stitch": ("stitch", "Fit and measure one seam."),
    "tune": ("tune", "Train a copy of a kept stitch further, with more of it unfrozen."),
    "compare": ("compare", "Stitch two models at all matching layers, with controls, and report."),
    "similarity": ("similarity", "Measure how similar the layers of two models are."),
    "align": ("align", "Map the embeddings of one model into the space of another."),
    "paper": ("paper", "Run figures of the paper again, at four scales, under two protocols."),
    "matrix": ("similarity", "Stitch every block of one model to every block of another; measure similarity, too."),
    "train": ("train", "Train a small donor network and keep it in a folder."),
    "run": ("study", "Run a study declared in a TOML file, or go on with it."),
    "status": ("study", "Show what a study folder holds and how much is missing."),
    "report": ("study", "Write the HTML page of a study folder."),
    "gc": ("study", "Remove stale cells from a study folder."),
    "figure": ("study", "Draw a figure of a study folder."),
    "examples": ("examples", "Tell which test samples break, at which stitch and in which class."),
    "trajectory": ("trajectory", "Say from when on each layer of a training serves a network."),
    "front": ("front", "Lay errors beside costs: which stitches no other one beats in both."),
    "diff": ("study", "Compare the records of two runs."),
    "export": ("study", "Write the records of a study folder as Parquet, CSV or JSON."),
    "doctor": ("doctor", "Show versions, devices, threads, memory, caches, and which extras are installed."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f".{_COMMANDS[cmd_name][0]}", __name__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {args[0]!r}: {command_hint(args[0], list(_COMMANDS))}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            command = error.ctx.command if error.ctx is not None else self
            hint = option_hint(error.option_name, command.params)
            raise click.UsageError(f"No such option {error.option_name!r}: {hint}", error.ctx) from error
        except (StitchError, OSError):
            if manner().verbose:
                say(traceback.format_exc().rstrip("\n"), err=True)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="modelstitch")
def cli() -> None:
    """Compare trained networks by stitching the bottom of one to the top of another."""


def main() -> None:
    """Run the command line.

    Exit codes: 0 where all was done, 2 after a user's mistake (one sentence on standard error), 130 after an interrupt,
    141 where nobody reads what is printed any more, 1 after an error of modelstitch itself (a traceback).
    """
    keep_heap()
    wait_briefly()
    lenient_streams()
    with warnings.catch_warnings():
        warnings.showwarning = say_warning
        code = _ended()
    sys.exit(code)


def _ended() -> int:
    try:
        with INTERRUPTS.open():
            return _answered()
    except (KeyboardInterrupt, click.Abort):
        say("modelstitch: interrupted; what is finished is kept, the same command continues.", err=True)
        return 130


def _called() -> Any:
    try:
        return cli.main(standalone_mode=False)
    except BaseException:
        INTERRUPTS.check()  # a library may have made another error of it
        raise


def _answered() -> int:
    try:
        code = _called()
    except StitchError as error:
        say(f"modelstitch: {error}", err=True)
        code = 2
    except click.ClickException as error:
        text = io.StringIO()
        error.show(file=text)
        say(text.getvalue().rstrip("\n"), err=True)
        code = error.exit_code
    except BrokenPipeError:  # as of a program that the signal ends: `modelstitch layers ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is flushed at the end, too
        code = 141
    except OSError as error:
        say(f"modelstitch: {error.filename or 'a file'} cannot be used: {error.strerror or error}.", err=True)
        code = 2
    return code if isinstance(code, int) else 0


_SAID = {  # in other tools: here
    "batch": "batch-size",
    "bs": "batch-size",
    "config": "options",
    "cuda": "device",
    "dataset": "data",
    "debug": "verbose",
    "depth": "layers",
    "epochs": "steps",
    "folder": "out",
    "gpu": "device",
    "iterations": "steps",
    "label": "name",
    "n": "limit",
    "num-samples": "fit-samples",
    "outdir": "out",
    "output": "out",
    "output-dir": "out",
    "rate": "learning-rate",
    "samples": "fit-samples",
    "silent": "quiet",
    "subset": "limit",
    "checkpoint": "weights",
    "pretrained": "random-weights",
}


def command_hint(word: str, known: Sequence[str]) -> str:
    """The nearest commands, or where all of them are listed."""
    close = _near(word, known)
    return did_you_mean(close) or "see modelstitch --help."


def option_hint(word: str, options: Sequence[click.Parameter]) -> str:
    """The options that may be meant: by sense, by initials, or by letters; else where all of them are listed."""
    known = [name.lstrip("-") for option in options for name in (*option.opts, *option.secondary_opts) if "--" in name]
    asked = word.lstrip("-").lower().replace("_", "-")
    initials = [name for name in known if "-" in name and "".join(part[0] for part in name.split("-")) == asked]
    same = [_SAID[asked]] if _SAID.get(asked) in known else []
    parts = set(asked.split("-"))
    within = [name for name in known if len(asked) > 2 and (asked in name.split("-") or parts == set(name.split("-")))]
    found = list(dict.fromkeys([*same, *initials, *within, *_near(asked, known)]))[:3]
    return f"did you mean {' or '.join(f'--{name}' for name in found)}?" if found else "--help lists all."


def _near(word: str, known: Sequence[str]) -> list[str]:
    begun = [name for name in known if len(word) > 2 and name.startswith(word)]
    return begun or near(word, known, count=2, alike=0.6)
