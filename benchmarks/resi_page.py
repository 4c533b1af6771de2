"""docs/results/resi.md: how well each measure does in the tests of ReSi, worked out from the records beside it."""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr
from side_by_side import table

from modelstitch.measures import MEASURES

DRAWS, SEED = 200, 0
Array = NDArray[np.float64]
OBJECTIVES = ("match", "task", "downstream")
BOTH = "penalty both ways"
KINDS = ("penalty", BOTH, "normalised penalty", "agreement")
STITCHING = {f"{kind}, {objective}": kind != "agreement" for kind in KINDS for objective in OBJECTIVES}
DISTANCES = {**{name: measure.kind == "distance" for name, measure in MEASURES.items()}, **STITCHING}
APART = {"accuracy": "difference in accuracy", "output": "Jensen-Shannon", "disagreement": "disagreement"}


GROUPED = ("labels", "shortcut", "noise")  # tests over groups of networks


class Column(NamedTuple):
    """One column of the page: what it is called, of which test, and which of its qualities."""

    name: str
    test: str
    quality: str


FIRST = (
    Column("accuracy, rho", "outputs", "accuracy"),
    Column("output, rho", "outputs", "output"),
    Column("labels, AUPRC", "labels", "AUPRC"),
    Column("shortcut, AUPRC", "shortcut", "AUPRC"),
    Column("noise, AUPRC", "noise", "AUPRC"),
    Column("layers, conformity", "layers", "conformity"),
)
SECOND = (
    Column("disagreement, rho", "outputs", "disagreement"),
    Column("labels, conformity", "labels", "conformity"),
    Column("shortcut, conformity", "shortcut", "conformity"),
    Column("noise, conformity", "noise", "conformity"),
    Column("layers, rho", "layers", "rho"),
)


def average_precision(within: Array, across: Array, odds: float) -> float:
    """Mean, over pairs within a group, of the share of such pairs among all that are at least as similar.

    Args:
        odds: pairs across groups for one within; those of all networks, so that drawn ones are not harder to tell apart
            since a network that is drawn twice is no pair.
    """
    alike = (within[:, None] >= within).mean(0)  # of each: the share of those within that are at least as similar
    other = (across[:, None] >= within).mean(0)
    return float((alike / (alike + odds * other)).mean())


def conformity(within: Array, across: Array) -> float:
    """The share of (pair within, pair across) of which that within is the more similar; a tie is none."""
    return float((within[:, None] > across).mean())


def grouped(similar: Array, groups: Sequence[str], drawn: Array) -> dict[str, float]:
    """Both qualities of similarities (networks, networks), averaged over groups; NaN where a group has no pair."""
    at, every, names = similar[np.ix_(drawn, drawn)], np.array(groups), np.array(groups)[drawn]
    real = (drawn[:, None] != drawn) & ~np.isnan(at)
    found: dict[str, list[float]] = {"AUPRC": [], "conformity": []}
    for group in dict.fromkeys(groups):
        mine = names == group
        within, across = at[real & mine[:, None] & mine], at[real & (mine[:, None] ^ mine)]
        none, size = not (len(within) and len(across)), int((every == group).sum())
        odds = 2 * (len(every) - size) / max(1, size - 1)
        found["AUPRC"].append(np.nan if none else average_precision(within, across, odds))
        found["conformity"].append(np.nan if none else conformity(within, across))
    return {quality: float(np.mean(values)) for quality, values in found.items()}


def layered(similar: Array) -> dict[str, float]:
    """How far similarities (layers, layers) of one network fall with the distance between layers.

    The share of triples of which the farther layer is the less similar one; and the rank correlation with the distance,
    averaged over the layers from which one looks up or down at two others or more.
    """
    n, right, triples, rho = len(similar), 0, 0, []
    for at, way in itertools.product(range(n), (1, -1)):
        seen = similar[at, at + 1 :] if way > 0 else similar[at, :at][::-1]  # the nearest first
        kept = np.flatnonzero(~np.isnan(seen))
        for near, far in itertools.combinations(kept, 2):
            triples += 1
            right += seen[near] >= seen[far]
        if len(kept) > 1 and len(np.unique(seen[kept])) > 1:
            rho.append(float(spearmanr(-seen[kept], kept).statistic))
    return {"conformity": right / triples if triples else np.nan, "rho": float(np.mean(rho)) if rho else np.nan}


def correlated(similar: Array, apart: Array, drawn: Array) -> float:
    """Rank correlation over pairs of networks between dissimilarity and what their outputs differ by."""
    at, other = (found[np.ix_(drawn, drawn)] for found in (similar, apart))
    real = (drawn[:, None] != drawn) & ~np.isnan(at)
    x, y = rankdata(-at[real]), rankdata(other[real])
    if len(set(x)) < 2 or len(set(y)) < 2:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def square(frame: pl.DataFrame, names: Sequence[str], ends: tuple[str, str], column: str) -> Array:
    """A column of ordered pairs as a matrix; NaN where it has no value."""
    out = np.full((len(names), len(names)), np.nan)
    place = {name: at for at, name in enumerate(names)}
    for bottom, top, value in frame.select(*ends, column).iter_rows():
        out[place[bottom], place[top]] = np.nan if value is None else value
    return out


def similarities(frame: pl.DataFrame, names: Sequence[str], ends: tuple[str, str], measure: str) -> Array:
    """A measure of ordered pairs as a matrix in which more is more alike; NaN where it has no value."""
    if measure.startswith(BOTH):
        one_way = similarities(frame, names, ends, measure.replace(BOTH, "penalty"))
        return np.minimum(one_way, one_way.T)
    sign = -1 if DISTANCES.get(measure, True) else 1
    return sign * square(frame, names, ends, measure)


def qualities(rows: pl.DataFrame, groups: Mapping[str, str]) -> dict[str, Callable[[str, Any], dict[str, float]]]:
    """For each test that is there: what gives the qualities of a measure, of drawn networks or (None) of all."""
    found: dict[str, Callable[[str, Any], dict[str, float]]] = {}
    for test in rows["test"].unique(maintain_order=True):
        frame = rows.filter(pl.col("test") == test)
        found[test] = (_of_layers if test == "layers" else _of_pairs)(frame, groups)
    return found


def _of_pairs(frame: pl.DataFrame, groups: Mapping[str, str]) -> Callable[[str, Any], dict[str, float]]:
    names = list(dict.fromkeys(frame["bottom"]))
    mine = [groups[name] for name in names]
    matrices = {m: similarities(frame, names, ("bottom", "top"), m) for m in (*DISTANCES, *APART.values())}
    apart = {name: square(frame, names, ("bottom", "top"), column) for name, column in APART.items()}
    several = len(set(mine)) > 1

    def of(measure: str, draw: np.random.Generator | None) -> dict[str, float]:
        drawn = np.arange(len(names))
        if draw is not None:  # within each group as many as there are
            parts = (np.flatnonzero(np.array(mine) == g) for g in dict.fromkeys(mine))
            drawn = np.concatenate([draw.choice(part, len(part)) for part in parts])
        if several:
            return grouped(matrices[measure], mine, drawn)
        return {name: correlated(matrices[measure], apart[name], drawn) for name in APART}

    return of


def _of_layers(frame: pl.DataFrame, groups: Mapping[str, str]) -> Callable[[str, Any], dict[str, float]]:
    names = list(dict.fromkeys(frame["bottom"]))
    each: dict[str, list[dict[str, float]]] = {m: [] for m in DISTANCES}
    for name in names:
        one = frame.filter(pl.col("bottom") == name)
        layers = list(dict.fromkeys(one["bottom_layer"]))
        for m in DISTANCES:
            each[m].append(layered(similarities(one, layers, ("bottom_layer", "top_layer"), m)))

    def of(measure: str, draw: np.random.Generator | None) -> dict[str, float]:
        drawn = range(len(names)) if draw is None else draw.choice(len(names), len(names))
        return {q: float(np.mean([each[measure][at][q] for at in drawn])) for q in ("conformity", "rho")}

    return of


class Table(NamedTuple):
    """Qualities of measures with intervals, (measures, columns), and mean ranks, (measures,)."""

    measures: list[str]
    columns: list[Column]
    values: Array
    ends: Array
    ranks: Array
    rank_ends: Array


def worked_out(
    rows: pl.DataFrame, groups: Mapping[str, str], columns: Sequence[Column], measures: Sequence[str] = tuple(DISTANCES)
) -> Table:
    """The qualities of measures, of all networks and of drawn ones: every measure sees the same draws."""
    columns = [column for column in columns if column.test in set(rows["test"])]
    asked = {column.test for column in columns}
    tests = qualities(rows.filter(pl.col("test").is_in(asked)), groups)

    def of(seed: int | None) -> Array:
        out = np.empty((len(measures), len(columns)))
        for i, measure in enumerate(measures):
            found = {t: of(measure, None if seed is None else np.random.default_rng(seed)) for t, of in tests.items()}
            out[i] = [found[column.test][column.quality] for column in columns]
        return out

    values, draws = of(None), np.ma.masked_invalid([of(SEED + at) for at in range(DRAWS)])
    draws = np.clip((draws + (values - draws.mean(0))).filled(np.nan), -1, 1)  # about the value of all networks
    ends = np.full((2, *values.shape), np.nan)
    known = ~np.isnan(draws).all(0) & ~np.isnan(values)
    ends[:, known] = np.nanquantile(draws[:, known], (0.025, 0.975), axis=0)
    drawn = np.stack([mean_ranks(one) for one in draws])
    return Table(list(measures), columns, values, ends, mean_ranks(values), np.quantile(drawn, (0.025, 0.975), axis=0))


def mean_ranks(values: Array) -> Array:
    """The mean over columns of each row's rank, 1 for the largest; what has no value is last."""
    ranks = [rankdata(-np.where(np.isnan(column), -np.inf, column)) for column in values.T]
    return np.mean(ranks, axis=0) if ranks else np.zeros(len(values))


def write(folder: Path, rows: pl.DataFrame, networks: pl.DataFrame, how: Mapping[str, Any]) -> None:
    """Keep the records in folder/resi, and the page beside it."""
    kept = folder / "resi"
    kept.mkdir(exist_ok=True)
    rows.with_columns(pl.col(pl.Float64).cast(pl.Float32)).write_parquet(kept / "pairs.parquet", compression="zstd")
    networks.write_csv(kept / "networks.csv", float_precision=2)
    (kept / "how.json").write_text(json.dumps(how, indent=2) + "\n", encoding="utf-8")
    redraw(folder)


def redraw(folder: Path) -> None:
    """Write the page from the kept records."""
    kept = folder / "resi"
    rows, networks = pl.read_parquet(kept / "pairs.parquet"), pl.read_csv(kept / "networks.csv")
    how = json.loads((kept / "how.json").read_text(encoding="utf-8"))
    groups = dict(networks.select("network", "group").iter_rows())
    first, second = (worked_out(rows, groups, columns) for columns in (FIRST, SECOND))
    designed = [column for column in (*FIRST, *SECOND) if column.test in GROUPED]
    bare = worked_out(rows, groups, designed, tuple(APART.values()))
    text = page(first, second, bare, rows, networks, how)
    (folder / "resi.md").write_text(text, encoding="utf-8")
    print(text)


def page(
    first: Table, second: Table, bare: Table, rows: pl.DataFrame, networks: pl.DataFrame, how: Mapping[str, Any]
) -> str:
    """The page as Markdown."""
    missing = [test for test in (*GROUPED, "layers", "outputs") if test not in how["seconds"]]
    parts = [
        "# The tests of ReSi, with stitching among the measures",
        HEAD,
        *([f"**Not finished:** {', '.join(missing)}. Ranks are over the tests that are."] if missing else []),
        "## What comes out",
        *outcome(first, bare),
        "## Every measure",
        _table(first, ranked=True),
        SMALL_PRINT,
        "## The same tests, asked otherwise",
        _table(second, ranked=False),
        *(["## What networks differ by", BARE, _table(bare, ranked=False)] if bare.columns else []),
        "## The networks",
        _networks(networks),
        "## How it was made",
        f"```\n{how['command']}\npython benchmarks/resi.py --redraw\n```",
        *made(rows, networks, how),
    ]
    return "\n\n".join(parts) + "\n"


HEAD = """ReSi ([arXiv 2408.00531](https://arxiv.org/abs/2408.00531)) asks of a measure whether it finds what is known
by design or by prediction. Stitching is not among its 24 measures; here it is, on small networks and small images.

- **labels**, **shortcut**, **noise**: groups of networks that differ in the share of random labels, in how often a
  coloured spot gives the class away, in the noise on training images. Two networks of one group should be more alike
  than two of different groups. AUPRC (0.12 by chance), and conformity: of all (pair within, pair across), how many
  are in that order; both averaged over groups.
- **layers**: within a network, a layer farther away should be less alike. Conformity, and rank correlation.
- **accuracy**, **output**: among networks that differ in their seed alone, those that are less alike should differ more
  in accuracy, or in their outputs (Jensen-Shannon divergence; disagreement). Rank correlation.

All but *layers* look at the representation before the head, as ReSi does. There what lies above is linear: a stitch
that is fitted to labels is little more than a linear probe of the bottom, and other layers may tell another story.
Activations with positions are averaged over them for the measures. Both directions of a pair count.

Stitching: an affine map from the bottom's layer to the top's, solved (**match**) or fitted to the labels (**task**) or
to the top's own later activations (**downstream**). **penalty**: the stitched model's error beyond the top's. It is
directed: a good bottom under a bad top has a negative one, so that one direction alone says above all which network
errs less. **penalty both ways**: the larger one of the two directions. **normalised penalty**: from the top's own
bottom (0) to untrained ones (1); none where these two do not differ beyond their intervals. **agreement**: how often
the stitched model names the class that the top names."""

BARE = "No similarity of representations: networks told apart by how much their answers differ on the same samples."

SMALL_PRINT = """Sorted by mean rank. In brackets: 95 % by a bootstrap that draws networks within each group, the same
draws for every measure, moved so that their mean is the value of all networks; five networks of a group are few. A
dash: no value in a whole group, which counts as the last rank. Measures that are one another's monotone functions, such
as the three of Procrustes, share a rank."""


def outcome(found: Table, bare: Table) -> list[str]:
    """What the tables say, in sentences."""
    order = np.argsort(found.ranks, kind="stable")
    best = "; ".join(f"{found.measures[i]} {_ranked(found, i)}" for i in order[:4])
    parts = [f"Best mean ranks of {len(order)} measures over {len(found.columns)} columns: {best}."]
    for kind in KINDS:
        mine = [i for i in order if found.measures[i].startswith(f"{kind},")]
        said = "; ".join(f"{found.measures[i].split(', ')[1]} {_ranked(found, i)}" for i in mine)
        parts.append(f"- **{kind}**, mean rank: {said}.")
    lines = [_of_column(found, bare, j) for j in range(len(found.columns))]
    return [parts[0], "\n".join(parts[1:]), "\n".join(lines)]


def _of_column(found: Table, bare: Table, j: int) -> str:
    """Which measures lead in a column, and where stitching stands."""
    values, column = found.values[:, j], found.columns[j]
    order = [i for i in np.argsort(-values, kind="stable") if not np.isnan(values[i])]  # NaN sorts last
    place = {found.measures[i]: at for at, i in enumerate(order, 1)}

    def leader(among: Sequence[int]) -> str:
        return f"{found.measures[among[0]]} {_cell(found, among[0], j)}" if among else "none"

    stitching = [i for i in order if found.measures[i] in STITCHING]
    others = [i for i in order if found.measures[i] not in STITCHING]
    where = ", ".join(
        f"{kind} {min(at)}"
        if (at := [place[m] for m in STITCHING if m.startswith(f"{kind},") and m in place])
        else f"{kind} without a value"
        for kind in KINDS
    )
    said = (
        f"- **{column.name}**: the best similarity is {leader(others)}, the best of stitching {leader(stitching)}. "
        f"Best places: {where}."
    )
    if column.name.endswith("rho"):
        above = sum(found.ends[0, i, j] > 0 for i in order)
        said += f" Above 0 with their intervals: {above} of {len(order)}."
    if column in bare.columns:
        at = bare.columns.index(column)
        i = int(np.argmax(bare.values[:, at]))
        said += f" The {bare.measures[i]} alone: {_cell(bare, i, at)}."
    return said


def _ranked(found: Table, i: int) -> str:
    low, high = found.rank_ends[:, i]
    return f"{found.ranks[i]:.1f} [{low:.1f}, {high:.1f}]"


def _cell(found: Table, i: int, j: int) -> str:
    if np.isnan(found.values[i, j]):
        return "-"
    low, high = found.ends[:, i, j]
    return f"{found.values[i, j]:.2f} [{low:.2f}, {high:.2f}]"


def _table(found: Table, *, ranked: bool) -> str:
    head = ["measure", *(["mean rank"] if ranked else []), *(column.name for column in found.columns)]
    rows = []
    for i in np.argsort(found.ranks, kind="stable"):
        name = f"**{found.measures[i]}**" if found.measures[i] in STITCHING else found.measures[i]
        cells = [_cell(found, i, j) for j in range(len(found.columns))]
        rows.append([name, *([_ranked(found, i)] if ranked else []), *cells])
    return table(head, rows)


def _networks(networks: pl.DataFrame) -> str:
    rows = []
    for group in networks["group"].unique(maintain_order=True):
        mine = networks.filter(pl.col("group") == group)
        columns = [mine["error"].to_list(), mine["error on its fit samples"].to_list()]
        spans = [f"{sum(values) / len(values):.1f} ({min(values):.1f} to {max(values):.1f})" for values in columns]
        rows.append([group, str(mine.height), *spans])
    return table(["group", "networks", "test error, %", "error on its own fit samples, %"], rows)


def made(rows: pl.DataFrame, networks: pl.DataFrame, how: Mapping[str, Any]) -> list[str]:
    """How the numbers came about, in paragraphs."""
    o, pairs = how["options"], rows.filter(pl.col("test") != "layers")
    lacking = ", ".join(f"{pairs[f'normalised penalty, {name}'].null_count():,} ({name})" for name in OBJECTIVES)
    paragraphs = [
        f"`{o['net']}` on {how['data']['name']}: the first {o['samples']:,} training images averaged to 8 x 8 pixels, "
        f"{o['steps']} steps of 128 samples; {networks.height} networks of {networks['seed'].n_unique()} seeds, no two "
        "the same, so that no pair has its start in common. Spots are squares of 2 x 2 pixels; networks with shortcuts "
        "are compared, and err, on images whose spots say nothing. Random labels are drawn anew for every network. "
        f"Measures are taken on the first {o['rows']} test samples; stitches are fitted on "
        f"{min(o['samples'], 2000):,} samples in {o['fit_steps']} steps and measured on {o['test']:,} test samples. "
        "Two untrained networks are the random bottoms; between layers, the bottom is drawn anew. "
        f"{pairs.height:,} ordered pairs of networks; the normalised penalty has no value for {lacking} of them.",
        f"{sum(how['seconds'].values()):,} processor seconds of one thread, {how['training seconds']:,} seconds on the "
        f"clock of training among them; the machine was shared. {how['hardware']}, {how['date']}. Records: "
        "`resi/pairs.parquet`, `resi/networks.csv`, `resi/how.json`.",
    ]
    return [textwrap.fill(text, 120) for text in paragraphs]
