"""Test samples as a page or a table can show them: as images, or as texts."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..support.shown import plain
from .data import Data
from .labels import IGNORED

_MOST = 96  # pixels a side: larger ones are reduced


def pictures(data: Data, ids: Sequence[int]) -> dict[int, str]:
    """Give test samples as ``data:`` addresses of PNG images.

    Args:
        data: whose samples they are.
        ids: their places in the test split.

    Returns:
        An address a sample; none where samples are no images of 1 or 3 channels.

    Examples:
        >>> from modelstitch.data.pictures import pictures
        >>> pictures(data, [3])[3][:22]
        'data:image/png;base64,'
    """
    if not ids:
        return {}
    inputs = data.chosen("test", torch.tensor(list(ids))).inputs
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
        return {}
    return dict(zip(ids, map(_address, _bytes(inputs.detach().cpu()))))


def _bytes(images: Tensor) -> Tensor:
    """Images as they would be seen, uint8: values from 0 to 1 as they are, others from their least to their largest."""
    if images.dtype == torch.uint8:
        return images
    values = images.float()
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        values = (values - low) / max(high - low, 1e-12)
    return (values * 255).round().to(torch.uint8)


def _address(image: Tensor) -> str:
    from PIL import Image

    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    shown = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    shown.thumbnail((_MOST, _MOST))
    content = io.BytesIO()
    shown.save(content, "PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


_BEFORE, _AFTER = 90, 60  # characters on either side of a place
_SPACE = re.compile(r"\s+")
_BLANKS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "↵"}

TextPlace = tuple[int, int | None]  # a test sample, and which of its tokens that count; None: the whole sample


@dataclass(frozen=True)
class Passage:
    """A piece of a text around one of its tokens, on one line.

    Attributes:
        before, after: what stands on either side; ``…`` where it goes on.
        token: the token itself, as it should be; empty where none is meant.
        said: what was answered in its place; empty where that is not known.
    """

    before: str
    token: str = ""
    said: str = ""
    after: str = ""

    def __str__(self) -> str:
        at = f"⟦{self.token}{f' → {self.said}' if self.said else ''}⟧" if self.token else ""
        return f"{self.before}{at}{self.after}"


class Passages:
    """Test samples of data as text: decoded where the data name their tokenizer, else the numbers of their tokens.

    Args:
        data: whose samples they are.

    Examples:
        >>> from modelstitch.data.passages import Passages
        >>> Passages(data).of([(0, None)])  # images are no text
        []
    """

    def __init__(self, data: Data) -> None:
        self._data = data
        self._decoder = None if data.text is None else data.text.tokenizer

    @property
    def about(self) -> str:
        """How texts are shown, in one sentence."""
        if self._decoder is None:
            return f"The data {plain(self._data.name)} name no tokenizer: texts are the numbers of their tokens."
        return f"Texts are decoded by the tokenizer {plain(self._decoder.name)} ({self._decoder.fingerprint})."

    def of(self, places: Sequence[TextPlace], answers: Sequence[int | None] | None = None) -> list[Passage]:
        """Give the passages of places.

        Args:
            places: of test samples.
            answers: what was answered at each, where that is known.

        Returns:
            A passage for each place; none where samples are no text.
        """
        if not places:
            return []
        samples = list(dict.fromkeys(sample for sample, _ in places))
        batch = self._data.chosen("test", torch.tensor(samples))
        if isinstance(batch.inputs, tuple) and batch.inputs and isinstance(batch.inputs[0], str):
            texts = dict(zip(samples, batch.inputs))
            return [_cut(Passage(texts[sample])) for sample, _ in places]
        ids = _ids(batch.inputs)
        if ids is None:
            return []
        there = torch.ones_like(ids, dtype=torch.bool) if batch.mask is None else batch.mask
        if self._decoder is not None:  # what it puts around every text tells nothing
            there = there & ~torch.isin(
                ids, torch.tensor([*self._decoder.before, *self._decoder.after], dtype=ids.dtype)
            )
        at = {sample: i for i, sample in enumerate(samples)}
        found = []
        for (sample, token), answer in zip(places, answers or [None] * len(places)):
            row = at[sample]
            labels = batch.labels[row] if batch.labels.ndim == 2 else None
            found.append(_cut(self._around(ids[row], there[row], labels, token, answer)))
        return found

    def _around(
        self, ids: Tensor, there: Tensor, labels: Tensor | None, token: int | None, answer: int | None
    ) -> Passage:
        """The passage of one sample, (t,) each, before it is cut."""
        if token is None or labels is None or labels.shape != ids.shape:
            return Passage(self._text(ids[there].tolist()))
        where = int((labels != IGNORED).nonzero().flatten()[token])
        label = int(labels[where])
        if self._hides:
            ids = ids.clone()
            ids[where] = label
        elif where + 1 < len(ids) and self._follows(ids, labels):
            where += 1
        else:  # labels of places that are no tokens
            marked = self._marked(ids, there, where)
            return replace(marked, token=f"{marked.token} ({label})", said="" if answer is None else f"({answer})")
        marked = self._marked(ids, there, where)
        return marked if answer is None else replace(marked, said=_seen(self._text([answer])))

    @property
    def _hides(self) -> bool:
        """Whether labels are tokens that are hidden from the network."""
        return self._data.task.name == "masked-token" or (
            self._data.text is not None and self._data.text.task == "masked-lm"
        )

    @staticmethod
    def _follows(ids: Tensor, labels: Tensor) -> bool:
        """Whether each label is the token that comes next."""
        counts = labels[:-1] != IGNORED
        return bool((labels[:-1][counts] == ids[1:][counts]).all())

    def _marked(self, ids: Tensor, there: Tensor, where: int) -> Passage:
        """The text of a sample (t,) in three pieces, whose middle is the token at a position."""
        there = there.clone()
        there[where] = True
        before = ids[:where][there[:where]].tolist()
        upto, whole = [*before, int(ids[where])], ids[there].tolist()
        if self._decoder is None:
            pieces = [before, upto[len(before) :], whole[len(upto) :]]
            first, token, last = (self._text(piece) for piece in pieces)
            return Passage(f"{first} " if first else "", token, "", f" {last}" if last else "")
        # A token may be written in another way beside others, so the text is decoded whole and cut where it grows.
        first, second, third = (self._text(piece) for piece in (before, upto, whole))
        if not (second.startswith(first) and third.startswith(second)):
            parts = [before, [int(ids[where])], whole[len(upto) :]]
            first, token, last = (self._text(piece) for piece in parts)
            return Passage(first, _seen(token), "", last)
        token = second[len(first) :]
        gap = token[: len(token) - len(token.lstrip())] if token.strip() else ""
        return Passage(first + gap, _seen(token[len(gap) :]), "", third[len(second) :])

    def _text(self, ids: list[int]) -> str:
        return " ".join(map(str, ids)) if self._decoder is None else self._decoder.decode(ids)


def _ids(inputs: Any) -> Tensor | None:
    """The numbers of tokens in a batch's inputs, (n, t); None where there are none."""
    ids = inputs.get("input_ids") if isinstance(inputs, dict) else inputs
    if not isinstance(ids, Tensor) or ids.ndim != 2 or ids.is_floating_point() or ids.dtype == torch.bool:
        return None
    return ids


def _cut(passage: Passage) -> Passage:
    """A passage on one line, of a length that is read at a glance."""
    before, after = (_SPACE.sub(" ", _plain_lines(text)) for text in (passage.before, passage.after))
    if not passage.token:
        most = _BEFORE + _AFTER
        return Passage(before if len(before) <= most else f"{before[: most - 1]}…")
    if len(before) > _BEFORE:
        before = f"…{before[1 - _BEFORE :]}"
    if len(after) > _AFTER:
        after = f"{after[: _AFTER - 1]}…"
    return Passage(before, plain(passage.token), plain(passage.said), after)


def _plain_lines(text: str) -> str:
    """A text of any origin with its blanks as they are, and a mark for what no page can hold."""
    return "".join(c if c.isspace() else plain(c) for c in text)


def _seen(token: str) -> str:
    """A token as it is seen by itself: blanks are written out where there is nothing else."""
    if token.strip():
        return _SPACE.sub(" ", token.strip())
    return "".join(_BLANKS.get(c, c) for c in token) or "∅"


class Shown:
    """Show test samples of the data that records were measured on.

    Args:
        data: the data.
        tests: the hashes of the test splits of the records.

    Raises:
        DataError: the data have another test split.
    """

    def __init__(self, data: Data, tests: Iterable[str]) -> None:
        for test in tests:
            if data.test_fingerprint != test:
                raise DataError(
                    f"The data {data.name!r} have another test split than the records: expected the one of hash "
                    f"{test[:12]}, found {data.test_fingerprint[:12]}; pass the data that were compared on, or none."
                )
        self._data, self._passages = data, Passages(data)

    @property
    def about_texts(self) -> str:
        """How texts are shown, in one sentence."""
        return self._passages.about

    def word(self, label: int) -> str:
        """What a class is called."""
        names = self._data.classes
        return str(label) if names is None or not 0 <= label < len(names) else names[label]

    def pictures(self, ids: Sequence[int]) -> dict[int, str]:
        """Give test samples as addresses of images; none where they are none."""
        return pictures(self._data, ids)

    def passages(self, places: Sequence[TextPlace], answers: Sequence[int | None] | None = None) -> list[Passage]:
        """Give places of test samples as texts, with what was answered there; none where they are no texts."""
        return self._passages.of(places, answers)
