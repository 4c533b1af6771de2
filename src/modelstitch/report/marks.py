"""Networks whose weights are random bear that beside their names, in every table, figure and sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ..records.record import Record

_RANDOM = "random"  # how the words of random weights begin


def mark(name: str, weights: str) -> str:
    """A network's name, with what of its weights is random: "resnet18 (random)", "resnet18 (random head)"."""
    if not weights.startswith(_RANDOM):
        return name
    what = weights.partition(",")[0].split(" of ")[0]  # "random", or "random head"
    return f"{name} ({what})"


def marked(records: Sequence[Record]) -> list[Record]:
    """The records with marked names, for a reader; a copy where there is one to mark."""
    names = {name: mark(name, weights) for name, weights in weights_of(records).items()}
    names = {name: shown for name, shown in names.items() if shown != name}
    return [_renamed(record, names) for record in records] if names else list(records)


def marked_frame(frame: pl.DataFrame, bottom: str, top: str) -> pl.DataFrame:
    """Rows of one pair under these names."""
    return frame.with_columns(bottom=pl.lit(bottom), top=pl.lit(top))


def with_weights(frame: pl.DataFrame, weights: Mapping[str, str]) -> pl.DataFrame:
    """A table for a file, with where the weights of each row's networks come from."""
    return frame.with_columns(
        pl.col(side).replace_strict(weights, default=None, return_dtype=pl.String).alias(f"{side}_weights")
        for side in ("bottom", "top")
    )


def weights_of(records: Sequence[Record]) -> dict[str, str]:
    """Where the weights of each network come from, as far as records say."""
    return {name: each.weights for record in records for name, each in (record.donors or {}).items() if each.weights}


def _renamed(record: Record, names: Mapping[str, str]) -> Record:
    config: dict[str, Any] = dict(record.config)
    for side in ("bottom", "top"):
        end = config.get(side)
        if isinstance(end, Mapping) and end.get("name") in names:
            config[side] = {**end, "name": names[end["name"]]}
    donors = {names.get(name, name): facts for name, facts in (record.donors or {}).items()}
    return dataclasses.replace(record, config=config, donors=donors or None)
