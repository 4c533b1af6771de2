"""A share of a study's cells, for machines that know nothing of each other but one folder. No torch."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import StudyError


class Shard(NamedTuple):
    """The cells whose hash, taken as a number, leaves ``number`` when it is divided by ``of``.

    Shards of one ``of`` take every cell once. Which shard takes a cell depends on nothing but the cell.
    """

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read "2/8", the third of eight.

        Raises:
            StudyError: if it is no such share.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip(), re.ASCII)
        number, of = (int(part) for part in found.groups()) if found else (0, 0)
        if number >= of:
            raise StudyError(
                f"The shard {text!r} is none: expected I/N with I from 0 to N - 1, such as 0/8 for the first of eight."
            )
        return cls(number, of)

    def takes(self, cell: str) -> bool:
        """Whether the cell of that hash is one of its own."""
        return int(cell, 16) % self.of == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
