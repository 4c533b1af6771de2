"""The pages that a reviewer could print: every claim with its verdict, our number and the paper's. Torch-free.

``README.md`` of a gallery has the figures whose records lie beside it; that of a folder of galleries has every claim
of the paper, and what each gallery says to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import StudyError
from ..report import plain
from ..study import Record
from ..support.files import write_text
from . import values
from .catalogue import FIGURES
from .catalogue import figure as find_figure
from .curves import Curves, every_protocol
from .figure import Claim, Verdict, Word
from .gallery import counts, table_lines
from .judged import ONCE, as_run, judged_once, records_of, verdict
from .protocols import PROTOCOLS
from .provenance import fit_words, scale_words, took

_COUNTED = (
    "A claim is asked at places, a layer of a curve. Said by the interval at all of them it **holds**, at half of "
    "them or more it **holds in part**; where intervals say the opposite at half of them or more it is **contrary**; "
    "else it is **not shown**: intervals are too wide. What has no interval holds in part at most; the range of "
    "several fits is one from six fits on. The number is that of the place nearest to refuting the claim. "
    "Intervals over two pairs hold the mean in fewer than 95 of 100 cases where pairs differ by points: "
    "docs/results/intervals.md has how many."
)
_SOURCE = f"The paper's numbers are {values.SOURCE}, or its own words."
_TWICE = (
    "Of the same names as networks of the figures above, and other networks, trained at another time or on another "
    "machine"
)
_ORDER = ("full", "medium", "fashion", "small", "own")  # of galleries, the most telling first; then all others
_RECIPES = "smoke"  # a gallery that shows that the recipes run, and little more


class JudgedClaim(NamedTuple):
    """A claim of a figure in one gallery: its verdicts by protocol, and the one that stands for both, if one does."""

    figure: str
    claim: Claim
    found: Mapping[str, Verdict]
    once: Verdict | None

    @property
    def measured(self) -> bool:
        """Whether any protocol had what the claim is about."""
        return any(v.word != "not measured" for v in self.found.values())

    @property
    def word(self) -> Word:
        """Of the verdict that stands for both protocols, or of the first one."""
        first: Verdict = self.once or next(iter(self.found.values()))
        return first.word

    @property
    def cells(self) -> list[str]:
        """The word by each protocol, and our number."""
        words = [f"**{self.found[p].word}**" if p in self.found else "-" for p in PROTOCOLS]
        if self.once is not None:  # a table cannot join two cells
            words = [f"**{self.once.word}** ({ONCE})", "(the same)"]
        judged = [*([self.once] if self.once else []), *self.found.values()]
        return [*words, next((v.number for v in judged if v.number), "-")]


def write_index(folder: Path) -> Path:
    """Write the page over all figures whose records are there; it names those that are not.

    Raises:
        StudyError: if no figure's records are there.
    """
    done = _done(folder)
    if not done:
        raise StudyError(
            f"There are no records in {folder}: expected files such as 2a.parquet; run `modelstitch paper` first."
        )
    every = {name: records_of(find_figure(name), folder) for name in done}
    whole = [record for records in every.values() for record in records]
    claims = [one for name, records in every.items() for one in _claims(name, records)]
    words = dict.fromkeys(line for records in every.values() for line in scale_words(records))
    rows = [
        [f"[{one.figure}]({one.figure}.md)", one.claim.text, *one.cells, values.said(one.figure, one.claim.text)]
        for one in claims
    ]
    lines = ["# The paper's figures, run again", "", *words, ""]
    lines += [*table_lines(["figure", "claim", *PROTOCOLS, "our number", "the paper's"], rows), "", _COUNTED]
    lines += _missing(done, whole)
    lines += _apart(every)
    if parted := [line for one in claims for line in _parted(one)]:
        lines += ["", "## Where the two protocols part", "", *parted]
    lines += ["", "## The protocols", "", *_protocols(whole)]
    lines += [
        "",
        "## What it took",
        "",
        took(whole),
        "",
        "Every verdict and number is worked out from the records beside this page: `modelstitch paper all --redraw "
        f"DIR`. {_SOURCE}",
        "",
    ]
    return _written(folder, lines)


def write_overview(folder: Path) -> Path:
    """Write the page over all galleries in a folder: every claim, and what each gallery says to it.

    Raises:
        StudyError: if there is no gallery.
    """
    places = galleries(folder)
    if not places:
        raise StudyError(f"There is no gallery in {folder}: expected folders with files such as 2a.parquet.")
    told = [place for place in places if place.name != _RECIPES] or places
    lines = ["# Every claim of the paper, and what became of it", ""]
    for place in places:
        words = scale_words(records_of(find_figure(_done(place)[0]), place))[0].partition(": ")[2]
        lines.append(f"- [{place.name}]({place.name}/README.md): {words}")
    head = ["figure", "claim", "the paper's", "at", *PROTOCOLS, "our number"]
    found = _told(told)
    words = counts([next((one for _, one in each if one.measured), each[0][1]).word for each in found.values()])
    lines += ["", f"Of {len(found)} claims, each where it was measured first of these, by the first protocol: {words}."]
    lines += ["", *table_lines(head, list(_rows(found))), "", _COUNTED, ""]
    lines += [
        "A claim stands once for each gallery that measured it. Every verdict and number is worked out from the "
        f"records in these folders: `modelstitch paper all --redraw DIR`. {_SOURCE}",
        "",
    ]
    return _written(folder, lines)


def galleries(folder: Path) -> list[Path]:
    """The galleries in a folder, the most telling first; none where the folder is one itself."""
    found = [place for place in folder.iterdir() if place.is_dir() and _done(place) and not _done(folder)]
    return sorted(found, key=lambda place: (_rank(place.name), place.name))


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _done(folder: Path) -> list[str]:
    """The figures whose records are there, in the catalogue's order."""
    return [name for name in FIGURES if (folder / f"{name}.parquet").is_file()]


def _claims(name: str, records: Sequence[Record]) -> Iterator[JudgedClaim]:
    every = every_protocol(records, PROTOCOLS)
    for claim in as_run(find_figure(name), records).claims:
        found = {p: v for p in PROTOCOLS if (v := verdict(claim, every, p)) is not None}
        yield JudgedClaim(name, claim, found, judged_once(claim, every))


ByClaim = dict[tuple[str, str], list[tuple[Path, JudgedClaim]]]


def _told(places: Sequence[Path]) -> ByClaim:
    """(figure, claim) -> what each gallery says to it, in the order of the figures."""
    found: ByClaim = {}
    for place in places:
        for name in _done(place):
            for one in _claims(name, records_of(find_figure(name), place)):
                found.setdefault((name, one.claim.text), []).append((place, one))
    return {key: found[key] for key in sorted(found, key=lambda key: list(FIGURES).index(key[0]))}


def _rows(found: ByClaim) -> Iterator[list[str]]:
    """The table over galleries: a claim's first row names it."""
    for name, text in found:
        measured = [(place, one) for place, one in found[name, text] if one.measured]
        first = [name, text, values.said(name, text)]
        for place, one in measured:
            yield [*first, f"[{place.name}]({place.name}/{name}.md)", *one.cells]
            first = ["", "", ""]
        if not measured:
            yield [*first, "-", *found[name, text][0][1].cells]


def _written(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "README.md"
    write_text(path, "\n".join(lines))
    return path


def _missing(done: Sequence[str], records: Sequence[Record]) -> list[str]:
    names = [name for name in FIGURES if name not in done]
    return ["", f"Not run at this scale: {', '.join(names)}."] if names and not records[0].tags.get("own") else []


def _apart(every: Mapping[str, Sequence[Record]]) -> list[str]:
    """Figures whose networks are others than those that an earlier figure has under the same names."""
    first: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for figure, records in every.items():
        for name, record in Curves(records, "").donors().items():
            if first.setdefault(name, record.bottom.fingerprint) != record.bottom.fingerprint:
                found.setdefault(figure, []).append(name)
    told = "; ".join(f"{figure} ({'; '.join(sorted(names))})" for figure, names in found.items())
    return ["", f"{_TWICE}: {told}."] if told else []


def _protocols(records: Sequence[Record]) -> list[str]:
    """Both protocols in words, with the fits that the records had."""
    found = {p.name: fit_words(records, p.name) for p in PROTOCOLS.values()}
    return [f"- {p.name}: {p.words}{f' Here: {found[p.name]}.' * bool(found[p.name])}" for p in PROTOCOLS.values()]


def _parted(one: JudgedClaim) -> list[str]:
    """Both sentences of a claim on which the protocols give two words."""
    if len({found.word for found in one.found.values()}) < 2:
        return []
    told = [f"  - {p}: **{found.word}**. {plain(found.sentence)}" for p, found in one.found.items()]
    return [f"- [{one.figure}]({one.figure}.md): {one.claim.text}", *told]
