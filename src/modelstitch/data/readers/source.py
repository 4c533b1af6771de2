"""What readers share: a place with options behind ``?``, a folder that is there, and three splits of what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import DataError
from ..subsets import FIXED_SEED, Picked, balanced_order


def parted(spec: str, known: Sequence[str], what: str) -> tuple[str, dict[str, str]]:
    """Take ``PLACE?name=value&name=value`` apart.

    Args:
        spec: the name.
        known: the options that there are.
        what: how a message calls the data.

    Returns:
        The place, and the options by name.

    Raises:
        DataError: naming the first option that cannot be read, or is not known.
    """
    place, _, query = spec.partition("?")
    found: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise DataError(f"The {what} option {item!r} cannot be read: expected 'name=value'.")
        if key not in known:
            raise DataError(f"The {what} option {key!r} is unknown: expected {', '.join(known[:-1])} or {known[-1]}.")
        found[key] = value
    return place, found


def need_folder(place: str | Path, expected: str) -> None:
    """Refuse a path that is no folder.

    Raises:
        DataError: it is a file, or nothing is there.
    """
    if Path(place).is_dir():
        return
    if Path(place).exists():
        raise DataError(f"{str(place)!r} is a file: expected a folder, {expected}; name the folder that it lies in.")
    raise DataError(f"There is no folder {str(place)!r}: expected one {expected}.")


def three(
    given: Mapping[str, Any], where: str, what: str, *, seed: int, limit: int | None
) -> tuple[dict[str, Any], str]:
    """Complete the splits of a source.

    Args:
        given: its own splits by name, each a map-style dataset; without "test" one sample in five of
            "fit" is held out, the same whatever the seed, without "val" one in ten of the rest.
        where: how a message calls the source.
        what: the source keeps its splits as: "arrays", "folders".
        seed: draws the validation samples.
        limit: at most so many samples to fit on (those for validation among them), and to test on.

    Returns:
        The three splits, and how they were made.

    Raises:
        DataError: if there are too few samples, or none to fit on.
    """
    if "fit" not in given:
        raise DataError(
            f"{where} has {what} of {' and '.join(given)} and none to fit on: expected those of train, too."
        )
    whole = given["fit"]
    order, rules = torch.arange(len(whole)), ["the source's own test samples"]
    if "test" not in given:
        order, rules = drawn(whole, FIXED_SEED), ["a fixed test split of one in five"]
    elif limit is not None:
        order = drawn(whole, FIXED_SEED)
    held = 0 if "test" in given else max(1, len(order) // 5)
    test = given["test"] if "test" in given else Picked(whole, order[:held].sort().values)
    rest = order[held:] if limit is None else order[held:][:limit]
    if "val" in given:
        val = given["val"]
        rules.append("its own validation samples")
    else:
        mixed = rest[drawn(Picked(whole, rest), seed)]
        kept = max(1, len(mixed) // 10)
        val, rest = Picked(whole, mixed[:kept].sort().values), mixed[kept:]
        rules.append(f"one in ten of the rest for validation (seed {seed})")
    if not len(rest):
        raise DataError(f"{where} has {len(whole)} samples: expected 3 at least, to fit, choose and test on.")
    if limit is not None and len(test) > limit:
        test = Picked(test, drawn(test, FIXED_SEED)[:limit])
    return {"fit": Picked(whole, rest), "val": val, "test": test}, ", ".join(rules)


def drawn(samples: Any, seed: int) -> Tensor:
    """A drawn order; where labels are classes every beginning of it holds them in their share."""
    labels: Tensor | None = getattr(samples, "labels", None)
    if labels is None or labels.ndim > 1 or labels.is_floating_point():
        labels = torch.zeros(len(samples), dtype=torch.int64)
    return balanced_order(labels, seed)
