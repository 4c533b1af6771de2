"""Test samples as a page or a table can show them: as images, or as texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import DataError
from .passages import Passage, Passages, TextPlace
from .pictures import pictures

if TYPE_CHECKING:
    from .data import Data


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
