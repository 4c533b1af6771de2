"""An upgrade, tried before it is made: maps fitted to some pairs, searched with queries that were held out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..errors import ArrayError
from ..moments.moments import Moments
from ..stats.bootstrap import interval, means
from ..support.ahead import Ahead, first_steps
from ..support.ambient import in_settled
from ..support.words import counted
from .aligner import Aligner
from .anchors import chosen, rows_of
from .given import Vectors, paired, uncompared, vectors
from .maps import Array
from .search import Index, check_search, nearest, shares
from .solve import FEWEST, improve, is_mlp, mlp_of, need, steps_for
from .sums import not_finite

if TYPE_CHECKING:
    import polars as pl

    from ..support.progress import Tell


SHUFFLED = 20_000  # pairs of the shuffled control, at most: it shows a level
OLD_ALONE, AS_IT_IS = "old model alone", "old gallery as it is"
GALLERY, QUERY = "old gallery mapped", "query mapped back"


@dataclass
class Rehearsal:
    """What a search keeps when the old gallery is not embedded anew.

    Attributes:
        rows: one value a row, as plain values.
        aligners: {family: the one fitted to the most pairs}, with both ways.
        notes: what is to be known of them.

    Examples:
        >>> found = ms.arrays.rehearse(x, x @ torch.randn(4, 3), queries=10, k=[1])
        >>> found.aligners["affine"].transform(x).shape
        (60, 3)
    """

    rows: list[dict[str, Any]]
    aligners: dict[str, Aligner]
    notes: list[str] = field(default_factory=list)

    @property
    def frame(self) -> pl.DataFrame:
        """A tidy table: family, pairs, control, way, metric, value with its interval, unit, chance, sizes."""
        import polars as pl

        return pl.DataFrame(self.rows, infer_schema_length=None)


@in_settled
def rehearse(
    old: Any,
    new: Any,
    *,
    family: str | Sequence[str] = "affine",
    pairs: Sequence[int] | None = None,
    anchors: str | ArrayLike = "random",
    queries: int | ArrayLike = 1000,
    k: Sequence[int] = (1, 10, 100),
    metric: str = "cosine",
    old_ids: Any = None,
    new_ids: Any = None,
    seed: int = 0,
    tell: Tell | None = None,
) -> Rehearsal:
    """Try an upgrade of embeddings, and say how much of a search maps keep.

    Some samples are held out as queries, the others are the gallery; maps are fitted to the gallery's pairs, or to some
    of them. What is to be met is the search after all is embedded anew: new queries in the new gallery. Each way of
    searching without that is measured by the share of true neighbours it finds (recall@k) and the mean reciprocal rank
    of the nearest one, with intervals over queries. Beside them stand what needs no map, shuffled pairs, and chance.

    Args:
        old: embeddings by the old model, (n, p), as for ``ms.align``.
        new: embeddings of the same samples by the new model, (n, q).
        family: one or several families of maps.
        pairs: numbers of pairs to fit to, from the gallery; all of it, or all ``anchors``, by default.
        anchors: how these pairs are chosen, by the old embeddings, as for ``ms.arrays.anchors``: "random", "k-means" or
            "farthest"; or the samples themselves, by their ids where there are some, else by the places of their rows.
        queries: how many samples are held out, or the places of their rows.
        k: numbers of neighbours.
        metric: what is near: "cosine", "dot" or "euclidean".
        old_ids: of the rows of ``old``.
        new_ids: of the rows of ``new``.
        seed: of the draws.
        tell: hears how far it is.

    Returns:
        Values and fitted aligners.

    Raises:
        ArrayError: as ``ms.align``; too few samples for that many queries, pairs or neighbours.

    Examples:
        >>> old = torch.randn(600, 16)
        >>> new = old @ torch.randn(16, 24)
        >>> found = ms.arrays.rehearse(old, new, queries=100, k=(1, 10))
        >>> found.frame.filter(way="old gallery mapped", metric="recall@10", control="pair")["value"].item() > 95
        True
    """
    one, two = vectors(old, "the old embeddings", old_ids), vectors(new, "the new embeddings", new_ids)
    paired(one, two)
    families = [family] if isinstance(family, str) else list(dict.fromkeys(family))
    sizes, ks = sorted(set(pairs or [])), sorted(set(k))
    generator = np.random.default_rng(seed)
    asked, kept = _split(generator, len(one), queries, sizes)
    check_search(metric, ks, len(kept))
    pick = _picker(one, kept, anchors, seed)
    sizes = sizes or [len(pick(None))]
    for name in families:  # before anything is searched
        need(name, one.width, two.width, sizes[0])
    _check_numbers(one, two)
    world = _World(one, two, asked, kept, ks, metric, seed)
    found = Rehearsal([], {}, uncompared(one, two))
    found.rows += world.measured(OLD_ALONE, world.old_queries, Index(world.old_gallery, metric=metric))
    if one.width == two.width:
        found.rows += world.measured(AS_IT_IS, world.new_queries, Index(world.old_gallery, metric=metric))
    for done, (name, size) in enumerate((name, size) for name in families for size in sizes):
        if tell is not None:
            tell("rehearse", done, len(families) * len(sizes))
        some = pick(size)
        w = _fitted(name, one, two, some, some, seed)
        about = {"family": name, "pairs": size}
        found.rows += world.searched(w, about)
        if size == sizes[-1]:
            found.aligners[name] = w
            found.notes += [f"{name}: {note}" for note in w.notes_ if note not in found.notes]
            some = some[:SHUFFLED]
            wrong = _fitted(name, one, two, some, np.roll(some, 1), seed)
            found.rows += world.searched(wrong, {**about, "control": "shuffled"})
    if tell is not None:
        tell("rehearse", len(families) * len(sizes), len(families) * len(sizes))
    return found


@dataclass(frozen=True)
class QueryTime:
    """What one query takes.

    Attributes:
        microseconds: the median of ``transform`` on one row.
        bare: the median of the matrix-vector product alone, in the same rounds.

    Examples:
        >>> ms.arrays.QueryTime(microseconds=30.0, bare=20.0).ratio
        1.5
    """

    microseconds: float
    bare: float

    @property
    def ratio(self) -> float:
        """How many times the bare product."""
        return self.microseconds / self.bare


def query_time(w: Aligner, rows: Array, *, rounds: int = 300) -> QueryTime:
    """Time one query through a map, in turns with the bare product.

    Args:
        w: fitted.
        rows: old embeddings, (n, p), whose rows are the queries.
        rounds: of which the medians are taken.

    Returns:
        Both times.

    Examples:
        >>> w = ms.align(x, y)
        >>> ms.arrays.query_time(w, x, rounds=3).microseconds > 0
        True
    """
    rows = np.asarray(rows)
    weight = np.ascontiguousarray(w.coef_, dtype=rows.dtype)
    whole, bare = [], []
    for i in range(rounds):
        row = rows[i % len(rows)][None]
        first = time.perf_counter()
        w.transform(row)
        second = time.perf_counter()
        weight @ row[0]
        bare.append(time.perf_counter() - second)
        whole.append(second - first)
    return QueryTime(1e6 * statistics.median(whole), 1e6 * statistics.median(bare))


class _World:
    """The samples of a rehearsal, and the search that is to be met."""

    def __init__(
        self,
        old: Vectors,
        new: Vectors,
        asked: NDArray[np.int64],
        kept: NDArray[np.int64],
        ks: Sequence[int],
        metric: str,
        seed: int,
    ) -> None:
        self.old_queries, self.new_queries = (side.only(asked).all() for side in (old, new))
        self.old_gallery, self.new_gallery = old.only(kept), new.only(kept)
        self.ks, self.metric, self.seed = ks, metric, seed
        self.truth, _ = nearest(self.new_queries, Index(self.new_gallery, metric=metric), max(ks))

    def searched(self, w: Aligner, about: dict[str, Any]) -> list[dict[str, Any]]:
        """Both ways of searching through an aligner."""
        mapped = Index(self.old_gallery, w.transform, self.metric)
        plain = Index(self.old_gallery, metric=self.metric)
        return [
            *self.measured(GALLERY, self.new_queries, mapped, **about),
            *self.measured(QUERY, w.inverse_transform(self.new_queries), plain, **about),
        ]

    def measured(self, way: str, queries: Array, index: Index, **about: Any) -> list[dict[str, Any]]:
        """The rows of one way of searching."""
        found, ranks = nearest(queries, index, max(self.ks), self.truth[:, 0])
        columns = [*shares(found, self.truth, self.ks), 1 / ranks]
        draws = [self._drawn(column) for column in columns]
        n = len(index.vectors)
        names = [(f"recall@{k}", "%", 100 * k / n) for k in self.ks]
        names.append(("mrr", "", float((1 / np.arange(1, n + 1)).mean())))
        rows = []
        for (name, unit, chance), column, draw in zip(names, columns, draws):
            low, high = interval(draw)
            rows.append(
                {
                    "family": about.get("family"),
                    "pairs": about.get("pairs"),
                    "control": about.get("control", "pair"),
                    "way": way,
                    "metric": name,
                    "value": float(column.mean()),
                    "low": low,
                    "high": high,
                    "unit": unit,
                    "chance": chance,
                    "queries": len(queries),
                    "gallery": n,
                }
            )
        return rows

    def _drawn(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means of a column under other queries; where all were found or none, one more might have been otherwise."""
        ends = (0.0, 100.0) if np.isin(column, (0.0, 100.0)).all() else None
        return means([column], np.ones(len(column)), ends=ends, seed=self.seed)[:, 0]


def _check_numbers(old: Vectors, new: Vectors) -> None:
    """Refuse rows among which nothing is near: queries are seen by no fit.

    Raises:
        ArrayError: NaN, infinity, or rows that are all the same.
    """
    for side in (old, new):
        if side.first_not_finite() is not None:
            raise not_finite(side)
        if not side.varies():
            raise ArrayError(
                f"{side.name[:1].upper()}{side.name[1:]} are the same in every row: expected samples that differ, of "
                "which some are nearer than others."
            )


def _split(
    generator: np.random.Generator, samples: int, queries: int | ArrayLike, pairs: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the queries and, in the order in which they are drawn, of the gallery.

    Raises:
        ArrayError: there are too few samples, or no such rows.
    """
    order = generator.permutation(samples)
    if isinstance(queries, int):
        asked, kept = np.sort(order[: max(0, queries)]), order[max(0, queries) :]
    else:
        asked = np.unique(np.asarray(queries))
        if asked.dtype.kind not in "iu" or not len(asked) or asked[0] < 0 or asked[-1] >= samples:
            raise ArrayError(f"The queries are no places of rows: expected whole numbers from 0 to {samples - 1:,}.")
        kept = order[~np.isin(order, asked)]
    if len(asked) < 2 or len(kept) < 2:
        raise ArrayError(
            f"{samples:,} samples cannot give {len(asked):,} queries beside a gallery: expected 2 to "
            f"{max(2, samples - 2):,} queries; ask for fewer."
        )
    if pairs and (pairs[0] < 2 or pairs[-1] > len(kept)):
        raise ArrayError(
            f"{samples:,} samples less {len(asked):,} queries leave {len(kept):,} pairs: expected 2 to as many to fit "
            f"to, found {', '.join(f'{n:,}' for n in pairs)}."
        )
    return asked, kept


def _picker(
    old: Vectors, kept: NDArray[np.int64], anchors: str | ArrayLike, seed: int
) -> Callable[[int | None], NDArray[np.int64]]:
    """How so many pairs of the gallery are chosen; all that may be for None.

    Raises:
        ArrayError: there is no such way, or no such sample in the gallery.
    """
    if isinstance(anchors, str):
        if anchors == "random":
            return lambda n: kept if n is None else kept[:n]
        chosen(rows_of(old), kept, 1, anchors, seed=seed)
        return lambda n: kept if n is None else chosen(rows_of(old), kept, n, anchors, seed=seed)
    asked = np.asarray(anchors).reshape(-1)
    places = asked
    if old.ids is not None:
        of = {value: at for at, value in enumerate(old.ids.tolist())}
        places = np.array([of.get(value, -1) for value in asked.tolist()])
    inside = np.isin(places, kept) if places.dtype.kind in "iu" else np.zeros(len(places), bool)
    if not len(places) or not inside.all():
        gone = [str(value) for value in asked[~inside]]
        raise ArrayError(
            f"{len(gone):,} of {len(places):,} anchors are not in the gallery, first {gone[0] if gone else 'none'}: "
            f"expected {'ids' if old.ids is not None else 'places of rows'} of samples that are no queries."
        )

    def first(n: int | None) -> NDArray[np.int64]:
        if n is not None and n > len(places):
            raise ArrayError(f"{len(places):,} anchors were given: expected as many pairs at most, found {n:,}.")
        return places[:n]

    return first


def _fitted(
    family: str, old: Vectors, new: Vectors, of_old: NDArray[np.int64], of_new: NDArray[np.int64], seed: int
) -> Aligner:
    """An aligner of some rows, each with the one at the same place of the other list."""
    w = Aligner(family, both=True, seed=seed)
    if np.array_equal(of_old, of_new):
        return w.fit(old.only(of_old), new.only(of_new))
    return w.fit(old.values[of_old], new.values[of_new])


_SHARES = (50, 25)  # one in so many rows of the gallery are searched, to see how the time grows


def foretell_rehearsal(
    old: Vectors, new: Vectors, *, family: Sequence[str], pairs: Sequence[int] | None, queries: int, **asked: Any
) -> Ahead:
    """What ``rehearse`` with these arguments will take; nothing is kept.

    Args:
        old: embeddings by the old model.
        new: of the same samples, by the new one.
        family: of the maps.
        pairs: numbers of pairs to fit to.
        queries: how many samples are held out.
        asked: as for ``rehearse``.

    Raises:
        ArrayError: as ``rehearse``.
    """
    from .rehearsal import SHUFFLED, rehearse

    rest, sizes = len(old) - queries, sorted(set(pairs or ())) or [len(old) - queries]
    least = max(64, 4 * max(asked["k"]), 2 * old.width, 2 * new.width)  # rows that maps and searches need
    galleries = [min(rest, max(least, rest // share)) for share in _SHARES]
    solved = list(dict.fromkeys("affine" if is_mlp(name) else name for name in family))  # which an MLP starts from
    marks = []
    for gallery in galleries:
        some = np.arange(max(0, min(len(old), gallery + queries)))
        begun = time.perf_counter()
        rehearse(old.only(some), new.only(some), family=solved, queries=queries, **{**asked, "anchors": "random"})
        marks.append(time.perf_counter() - begun)
    each = max(marks[1] - marks[0], 0.0) / max(1, galleries[1] - galleries[0])
    seconds = (marks[1] + each * (rest - galleries[1])) * (1 + len(sizes)) / 2 * len(family) / len(solved)
    mlps, fits = [name for name in family if is_mlp(name)], len(family) * len(sizes)
    if mlps and galleries[0] >= FEWEST:
        steps = sum(map(steps_for, [*sizes, min(sizes[-1], SHUFFLED)]))
        seconds += sum(_step(name, old, new, galleries[0]) for name in mlps) * steps * 2  # there, and back
    return Ahead(
        f"{counted(fits, 'map')} to fit, and {counted(len(family), 'map')} to shuffled pairs; {len(old):,} samples of "
        f"{old.width:,} and {new.width:,} numbers: {queries:,} held out as queries, the others are the gallery",
        f"{fits + len(family)} passes over the samples to fit, {2 * (fits + len(family)) + 1} to search",
        8 * (old.width + new.width) ** 2 + _searching(old, new, queries),
        "the arrays themselves",
        seconds,
        "estimated from blocks of rows",
    )


def _searching(old: Vectors, new: Vectors, queries: int) -> int:
    """Bytes of a search: blocks of rows of both sides, queries, and their scores with a block, with their order."""
    wide = old.width + new.width
    rows = max((place.stop - place.start for side in (old, new) for place in side.slices()), default=0)
    return 4 * wide * (2 * rows + queries) + 3 * 4 * queries * rows


def _step(family: str, old: Vectors, new: Vectors, rows: int) -> float:
    """Seconds of one of an MLP's steps."""
    some = np.arange(rows)
    x, y = old.only(some), new.only(some)
    mlp = mlp_of(family, Moments.of(torch.from_numpy(x.all()), torch.from_numpy(y.all())), rows, 0)
    return first_steps(lambda stepped: improve(mlp, x, y, None, seed=0, stepped=stepped)).later
