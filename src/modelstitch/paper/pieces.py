"""A job in pieces that several processes may do.

Networks, curves, probes, pages, each with what must be done before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .donors import DRAWN
from .figure import Figure, Line, Model
from .gallery import keep, summary
from .job import Job
from .run import Asked, asked, measured, run_figure, told


@dataclass(frozen=True)
class Piece:
    """One piece of work: plain data, so that another process can take it.

    Attributes:
        figure: the figure that wants it first.
        what: a network, a curve or a probe of a pair, or None: the figure's page.
        key: the same for two pieces that do the same.
        needs: the keys of those that come first.
        alone: no two pieces with the same one at a time: curves over one top share its controls. Empty where nothing is
            shared.
    """

    figure: str
    what: Model | Asked | None
    key: str
    needs: frozenset[str] = frozenset()
    alone: str = ""

    def done(self, job: Job, pages: Path) -> list[str]:
        """Do it: the results are in the job's folder, and a page's lines for a reader are returned.

        Raises:
            StitchError: whatever is wrong, in one sentence.
        """
        if self.what is None:
            shown = job.figure(self.figure)
            records = run_figure(shown, job)
            return summary(shown, records, keep(records, shown, pages))
        with told(self.figure):
            if isinstance(self.what, Model):
                job.workshop.network(self.what)
            else:
                measured(self.what, job)
        return []


def pieces(figures: Sequence[Figure], job: Job) -> list[Piece]:
    """All pieces of these figures, each once, in an order in which every piece stands behind what it needs."""
    found: dict[str, Piece] = {}
    for figure in figures:
        wanted: set[str] = set()
        for one in asked(figure, job):
            needs = set()
            for model in one.models:
                for piece in _networks(figure, model, job):
                    found.setdefault(piece.key, piece)
                    needs.add(piece.key)
            found.setdefault(one.key, Piece(figure.name, one, one.key, frozenset(needs), _alone(one)))
            wanted.add(one.key)
        page = f"page {figure.name}"
        found[page] = Piece(figure.name, None, page, frozenset(wanted))
    return list(found.values())


def _networks(figure: Figure, model: Model, job: Job) -> Iterator[Piece]:
    """The training behind a model, and what is drawn from it."""
    if model.file:
        if model.change in DRAWN:
            yield Piece(figure.name, model, f"network {model.name}")
        return
    share = job.scale.share(model.samples)  # "much data" and half of the data may be the same
    trained = replace(model, change="", at=None)
    first, last = (f"network {replace(one, samples=share).name}" for one in (trained, model))
    yield Piece(figure.name, trained, first)
    if model.change in DRAWN:
        yield Piece(figure.name, model, last, frozenset([first]))


def _alone(one: Asked) -> str:
    return f"{one.protocol} under {one.models[-1].name}" if isinstance(one.what, Line) else ""
