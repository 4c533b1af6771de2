"""Which command or option may be meant by a word that is none."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ..support.words import did_you_mean, near

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
