"""What a record keeps of every example of the test split, packed into plain JSON values, and back.

Of both models whether it was right, or nats and weights; beside that the classes that were answered, and how sure the
stitched model was. No torch; numpy is loaded where numbers are unpacked: counting right answers needs none.

With c bits for a class (4 for ten classes, 10 for a thousand), e, t and b the shares that the stitched model, the top
and the bottom get wrong, a sample takes c (1 + e + t + b) bits and one for whether the bottom is right, beside 2 bytes
of its loss: 3 bytes at ten classes and small errors, 7 at most at a thousand. Of texts the number of tokens that were
right is kept, and one bit a token and side for which they are. What was answered is a token of a whole vocabulary at
every place: it is kept where the stitched model alone is wrong.

What is kept says what the numbers of a record must be (``told_by_answers``).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import RecordError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


NATS = "nats/token"
SIDES = ("stitched", "top", "bottom")
_HALF = 60_000.0  # losses beyond have no place in 16 bits
_OFF = 2e-3  # what the mean of losses of 16 bits may be off by, of its size
_TINY = 1e-6


@dataclass(frozen=True)
class Answers:
    """The answers on the test split, in its order; None where a record keeps none.

    Attributes:
        right: of each side how many answers of a sample are right, (n,): 0 or 1, or a number of tokens.
        labels: the classes, (n,); None of texts.
        classes: of each side the class that it answered, (n,); none of texts.
        losses: of the stitched model, in nats, (n,).
        hits: of texts, of each side which tokens are right, bool (m,), those that count, sample after sample.
        said: of texts, what the stitched model answered at the tokens that it loses, (m,); -1 at all others.
    """

    right: Mapping[str, Ints | None]
    labels: Ints | None
    classes: Mapping[str, Ints | None]
    losses: Floats | None
    hits: Mapping[str, Bools] | None = None
    said: Ints | None = None


def pack_answers(labels: Ints | None, answers: Mapping[str, Ints], losses: Floats) -> dict[str, Any]:
    """Answers of the stitched model, of the top, and of the bottom where it has any, as plain JSON values.

    Args:
        labels: (n,); None of texts.
        answers: of each side, (n,): classes, or of texts how many tokens were right.
        losses: of the stitched model, (n,); of texts they are its errors, which are kept already.
    """
    width = _width(*answers.values(), *([] if labels is None else [labels]))
    if labels is None:
        return {"bits": width, **{side: _packed(values, width) for side, values in answers.items()}}
    wrong = {side: _packed(values[values != labels], width) for side, values in answers.items()}
    kind = "<f4" if losses.max(initial=0) > _HALF else "<f2"
    found = {"bits": width, "labels": _packed(labels, width), "losses": _text(losses.astype(kind)), **wrong}
    if "bottom" in answers:
        found["bottom_right"] = _packed((answers["bottom"] == labels).astype("i8"), 1)
    return found


def pack_tokens(hits: Mapping[str, Bools], said: Ints) -> dict[str, Any]:
    """Which tokens each side got right, and what the stitched model answered where the top alone did, as JSON values.

    Args:
        hits: of each side, (m,).
        said: the answers of the stitched model, (m,).
    """
    import numpy as np

    lost = said[hits["top"] & ~hits["stitched"]]
    width = _width(lost)
    bits = {side: _text(np.packbits(found)) for side, found in hits.items()}
    return {**bits, "bits": width, "said": _packed(lost, width)}


def check_sizes(answers: Mapping[str, Any], n: int, right: Mapping[str, int] | None, tokens: int = 0) -> int | None:
    """Refuse packed answers that hold more or fewer than they must; nothing is unpacked but the bottom's bits.

    Args:
        n: how many examples there are.
        right: how many of them the stitched model and the top got right; None of texts.
        tokens: of texts, how many count.

    Returns:
        How many the bottom got right; None where that is not kept.

    Raises:
        ValueError: naming the part.
    """
    width = answers["bits"]
    if not isinstance(width, int) or isinstance(width, bool) or not 1 <= width <= 32:
        raise ValueError(f"answers of {width!r:.20} bits")
    expected = dict.fromkeys(SIDES, n)
    bottom = None
    if right is not None:
        if "bottom" in answers:
            bits = base64.b64decode(answers["bottom_right"], validate=True)
            bottom = int.from_bytes(bits, "big").bit_count()
            right = {**right, "bottom": bottom}
        expected = {side: n - count for side, count in right.items()}
        if len(answers["losses"]) not in (_length(16 * n), _length(32 * n)):
            raise ValueError(f"losses of other than {n} examples")
        expected |= {"labels": n}
    for part, count in expected.items():
        if part not in answers and part == "bottom":
            continue
        if len(answers[part]) != _length(width * count):
            raise ValueError(f"{part} of other than {count} answers")
    if right is None:
        hits = dict(answers.get("tokens", {}))
        for side in hits.keys() & expected.keys():
            if len(hits[side]) != _length(tokens):
                raise ValueError(f"tokens of the {side} other than {tokens}")
    return bottom


def unpack_answers(kept: Mapping[str, Any]) -> Answers:
    """The answers that the examples of a record hold.

    Raises:
        KeyError, TypeError, ValueError: naming the part that cannot be read.
    """
    n, points = int(kept["n"]), kept["unit"] == "points"
    right: dict[str, Any] = dict.fromkeys(SIDES)
    classes: dict[str, Any] = dict.fromkeys(SIDES)
    if points:
        right |= {side: _numbers(kept[side], n, 1) for side in ("stitched", "top")}
    answers = kept.get("answers")
    if answers is None:
        return Answers(right, None, classes, None)
    width = answers["bits"]
    if not points:
        counts = {side: _numbers(answers[side], n, width) if side in answers else None for side in SIDES}
        tokens = _tokens(answers["tokens"], numbers(kept["weights"], n), counts) if "tokens" in answers else ()
        return Answers(counts, None, classes, None, *tokens)
    if "bottom" in answers:
        right["bottom"] = _numbers(answers["bottom_right"], n, 1)
    labels = _numbers(answers["labels"], n, width)
    for side, hits in right.items():
        if hits is None:
            continue
        wrong = hits == 0
        found = labels.copy()
        found[wrong] = _numbers(answers[side], int(wrong.sum()), width)
        if bool((found == labels)[wrong].any()):
            raise ValueError(f"the label as a wrong answer of the {side}")
        classes[side] = found
    return Answers(right, labels, classes, _losses(answers["losses"], n))


def _losses(packed: str, n: int) -> Any:
    """The losses of as many examples."""
    import numpy as np

    content = base64.b64decode(packed, validate=True)
    losses = np.frombuffer(content, "<f2" if len(content) == 2 * n else "<f4").astype(np.float64)
    if len(losses) != n or not np.isfinite(losses).all() or (losses < 0).any():
        raise ValueError(f"losses of other than {n} examples, or one that is none")
    return losses


def _tokens(kept: Mapping[str, Any], weights: Floats, counts: Mapping[str, Any]) -> tuple[dict[str, Bools], Ints]:
    """Which tokens are right, and what was said at those that are lost; held against the numbers of right ones."""
    import numpy as np

    sizes = weights.astype(np.int64)
    m, owner = int(sizes.sum()), np.repeat(np.arange(len(sizes)), sizes)
    hits = {side: _numbers(kept[side], m, 1) > 0 for side in SIDES if side in kept}
    for side, found in hits.items():
        if (np.bincount(owner, found, len(sizes)) != counts[side]).any():
            raise ValueError(f"tokens of the {side} that its numbers of right ones contradict")
    said, lost = np.full(m, -1, np.int64), hits["top"] & ~hits["stitched"]
    said[lost] = _numbers(kept["said"], int(lost.sum()), int(kept["bits"]))
    return hits, said


def told_by(found: Answers) -> list[tuple[str, float, float]]:
    """What the answers say of a record's metrics, and how far off these may be."""
    told = []
    if found.losses is not None:
        mean = float(found.losses.mean())
        told.append(("loss", mean, _OFF * mean + _TINY))
    for side in ("top", "bottom"):
        mine, other = found.classes["stitched"], found.classes[side]
        if mine is not None and other is not None:
            told.append((f"agreement_{side}", 100.0 * float((mine == other).mean()), _TINY))
    return told


def _width(*several: Ints) -> int:
    """How many bits the largest number needs."""
    return max(1, *(int(values.max(initial=0)).bit_length() for values in several))


def _packed(values: Ints, width: int) -> str:
    import numpy as np

    bits = np.unpackbits(values.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)[:, 32 - width :]
    return _text(np.packbits(bits))


def _numbers(text: str, n: int, width: int) -> Ints:
    import numpy as np

    bits = np.zeros((n, 32), np.uint8)
    content = np.frombuffer(_bytes(text, n, width), np.uint8)
    bits[:, 32 - width :] = np.unpackbits(content, count=n * width).reshape(n, width)
    return np.packbits(bits).view(">u4").astype(np.int64)


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _length(bits: int) -> int:
    """Of the text of so many bits."""
    return 4 * (((bits + 7) // 8 + 2) // 3)


def pack(stitched: Floats, top: Floats, weights: Floats, unit: str, test: str = "") -> dict[str, Any]:
    """Errors of the stitched model and of the top alone, (n,) each, as plain JSON values.

    Points are kept as bits (right or wrong), all others as float32; ``test`` is the identity of the test split.
    """
    import numpy as np

    head = {"n": len(stitched), "unit": unit, **({"test": test} if test else {})}
    sides = {"stitched": stitched, "top": top}
    if unit == "points":
        return {**head, **{side: _text(np.packbits(errors == 0)) for side, errors in sides.items()}}
    return {**head, **{name: _text(values.astype("<f4")) for name, values in {**sides, "weights": weights}.items()}}


def errors(text: str, n: int) -> Floats:
    """0 or 100 points for each of n packed answers.

    Raises:
        ValueError: if the text holds other than n.
    """
    import numpy as np

    right = np.unpackbits(np.frombuffer(_bytes(text, n), np.uint8), count=n)
    return 100.0 * (1 - right.astype(np.float64))


def right(text: str, n: int) -> int:
    """How many of n packed answers are right.

    Raises:
        ValueError: if the text holds other than n.
    """
    return int.from_bytes(_bytes(text, n), "big").bit_count()


def numbers(text: str, n: int) -> Floats:
    """The n packed numbers of a text.

    Raises:
        ValueError: if it holds other than n, or one is not finite.
    """
    import numpy as np

    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float64)
    if len(values) != n or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} numbers instead of {n}, or one that is not finite")
    return values


def average(values: Floats, weights: Floats) -> float:
    """The weighted mean.

    Raises:
        ZeroDivisionError: if the weights sum to zero.
    """
    import numpy as np

    return float(np.average(values, weights=weights))


def _bytes(text: str, n: int, width: int = 1) -> bytes:
    content = base64.b64decode(text, validate=True)
    if len(content) != -(-n * width // 8):
        raise ValueError(f"{len(content)} bytes for {n} answers")
    return content


BITS = 1e-9  # what a mean of bits may be off by, and an interval be narrower than its value
_NATS = 2e-5  # what a mean of float32 numbers may be off by, of their size and one nat
_FLOATS = 2e-6  # the same of other errors, of their size alone
_LEAST = 1e-37  # below which float32 has no digits


class Told(NamedTuple):
    """What a number must be, how far off it may be, and what says so."""

    value: float
    room: float
    source: str


def told_by_answers(
    values: Mapping[str, float | None], kept: Mapping[str, Any] | None, correct: str | None
) -> dict[str, Told]:
    """What penalty and errors must be, from the answers that a record keeps, and from each other.

    Args:
        values: the metrics by name.
        kept: the examples of the record.
        correct: the packed right answers that it also keeps.

    Raises:
        RecordError: the answers cannot be read, or contradict each other.
    """
    found: dict[str, Told] = {}
    error, top = values.get("error"), values.get("top_error")
    if error is not None and top is not None:
        found["penalty"] = Told(error - top, _NATS * (1 + abs(error) + abs(top)), "the errors give")
    if kept is None:
        return found
    try:
        errors, room, below = (_right if kept["unit"] == "points" else _floats)(kept)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as problem:
        raise RecordError(f"expected the examples to be readable, found {problem!r}") from problem
    if correct and kept["unit"] == "points" and correct != kept["stitched"]:
        raise RecordError("expected the same right answers in correct and in examples, found others")
    says = "the kept answers give"
    found["penalty"] = Told(errors["stitched"] - errors["top"], 2 * room, says)
    found |= {"error": Told(errors["stitched"], room, says), "top_error": Told(errors["top"], room, says)}
    if below is not None:
        found["bottom_error"] = Told(below, room, says)
    return found


def _right(kept: Mapping[str, Any]) -> tuple[dict[str, float], float, float | None]:
    """The errors that kept bits give, how far off they may be, and the bottom's where its answers are kept."""
    n = kept["n"]
    counts = {side: right(kept[side], n) for side in ("stitched", "top")}
    below = check_sizes(kept["answers"], n, counts) if "answers" in kept else None
    errors = {side: 100.0 * (1 - count / n) for side, count in counts.items()}
    return errors, 100 * BITS, None if below is None else 100.0 * (1 - below / n)


def _floats(kept: Mapping[str, Any]) -> tuple[dict[str, float], float, float | None]:
    """The same of kept numbers; a bottom's are not kept."""
    n = kept["n"]
    weights, each = numbers(kept["weights"], n), {side: numbers(kept[side], n) for side in ("stitched", "top")}
    errors = {side: average(values, weights) for side, values in each.items()}
    if "answers" in kept:
        check_sizes(kept["answers"], n, None, int(weights.sum()))
    if kept["unit"] == NATS:
        return errors, _NATS * (1 + sum(abs(e) for e in errors.values())), None
    return errors, _FLOATS * sum(average(abs(values), weights) for values in each.values()) + _LEAST, None
