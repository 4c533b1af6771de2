"""Values read off the paper's figures (arXiv 2106.07682, to about 0.3 points), to stand beside ours."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib.resources import files

SOURCE = "read off the figures of Bansal, Nakkiran and Barak (2021), arXiv 2106.07682, to about 0.3 points"

_ERROR = ": test error"


@cache
def _table() -> dict[str, list[tuple[float, float]]]:
    text = files(__package__).joinpath("values.csv").read_text(encoding="utf-8")
    found: dict[str, list[tuple[float, float]]] = {}
    for row in csv.DictReader(text.splitlines()):
        found.setdefault(row["series"], []).append((float(row["x"]), float(row["value"])))
    return found


def series(name: str) -> list[tuple[float, float]]:
    """(x, value) of one series: x is the fraction of layers from the bottom, or the index of a layer."""
    return list(_table().get(name, []))


def errors(name: str) -> list[tuple[float, float]]:
    """A series of test errors; empty where that series is of something else."""
    return series(name) if name.endswith(_ERROR) else []


def penalties(name: str) -> list[tuple[float, float]]:
    """A series of penalties; empty where it is of test errors."""
    return [] if name.endswith(_ERROR) else series(name)


@cache
def _numbers() -> list[tuple[str, str, str]]:
    text = files(__package__).joinpath("numbers.csv").read_text(encoding="utf-8")
    return [(row["figure"], row["claim"], row["paper"]) for row in csv.DictReader(text.splitlines())]


def said(figure: str, claim: str) -> str:
    """The paper's own number for a claim of a figure, "-" where it makes none."""
    found = next((paper for name, start, paper in _numbers() if name == figure and claim.startswith(start)), "-")
    return minus(found)


def minus(text: str) -> str:
    """The text with the sign that numbers below zero have elsewhere."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)
