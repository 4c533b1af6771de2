"""A family of networks: how far each is from each, by every measure at every depth, and whether groups stand apart.

The tree is that of average linkage with leaves in the best order (Bar-Joseph, Gifford and Jaakkola 2001), the map that
of metric scaling with Kruskal's stress, the separation of groups measured by silhouettes (Rousseeuw 1987), the area
under the curve and d'. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..errors import MeasureError, StudyError
from ..records.record import Record
from ..stats.bootstrap import Floats
from ..support.kinds import kinds
from .frame import frame, measured, pairs, panel, settings
from .marks import mark
from .pooled import settled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = "all layers"
_DRAWS = 999  # of the groups' names, for a p-value
SCHEMA = {
    "measure": pl.String,
    "kind": pl.String,
    "layer": pl.String,
    "depth": pl.Float64,
    **dict.fromkeys(("silhouette", "auc", "d_prime", "p", "within", "between"), pl.Float64),
    **dict.fromkeys(("n_within", "n_between"), pl.Int64),
}


def check_groups(groups: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The group of every network, in their order.

    Raises:
        MeasureError: a network has none, a name is no network's, or nothing could be told apart.
    """
    unknown = next((name for name in groups if name not in names), None)
    if unknown is not None:
        raise MeasureError(f"groups= names no network {unknown!r}: expected names of {', '.join(names)}.")
    left = [name for name in names if name not in groups]
    if left:
        raise MeasureError(
            f"groups= does not cover {', '.join(left)}: expected a group for each of the {len(names)} networks."
        )
    found = {name: str(groups[name]) for name in names}
    sizes = [list(found.values()).count(group) for group in set(found.values())]
    if len(sizes) < 2 or max(sizes) < 2:
        raise MeasureError(
            f"groups= makes {len(sizes)} group{'s' * (len(sizes) != 1)} of {len(names)} networks, the largest of "
            f"{max(sizes, default=0)}: expected two at least, and two networks in one of them."
        )
    return found


def distances_of(values: Floats, distance: bool) -> Floats:
    """Values (N, N) of a measure as distances: 0 for a network with itself, never negative, the same both ways."""
    found = values if distance else 1.0 - values
    found = np.maximum((found + found.T) / 2, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


@dataclass(frozen=True)
class NetworkFamily:
    """Hold networks as one set: N x N x layers, by every measure.

    A layer of one network meets the layer of the others at the nearest depth; the layers are those of the network that
    has fewest. A measure that looks one way, and a penalty, is the mean of both ways.

    Attributes:
        names: the networks.
        layers: the layers of the network with fewest, by which depths are called.
        depths: of these layers.
        measures: {measure: "similarity" or "distance"}.
        values: {measure: (N, N, layers)}; NaN where there is no value, and of a network with itself.
        groups: {network: group}; empty where none were given.
    """

    names: tuple[str, ...]
    layers: tuple[str, ...]
    depths: tuple[float, ...]
    measures: Mapping[str, str]
    values: Mapping[str, Floats]
    groups: Mapping[str, str] = field(default_factory=dict)

    @kinds()
    def matrix(self, measure: str | None = None, layer: str | None = None) -> pl.DataFrame:
        """One measure between every two networks, as a table.

        Args:
            measure: its name; the first by default.
            layer: one of ``layers``; the mean of all by default.

        Returns:
            A row for each network: its name, its group if there are groups, and a column for each network.

        Raises:
            MeasureError: there is no such measure or layer.
        """
        values = self._values(*self._named(measure, layer))
        kin = {"group": [self.groups[name] for name in self.names]} if self.groups else {}
        columns = {
            name: [None if np.isnan(v) else float(v) for v in values[:, at]] for at, name in enumerate(self.names)
        }
        return pl.DataFrame({"network": self.names, **kin, **columns})

    @kinds()
    def distances(self, measure: str | None = None, layer: str | None = None) -> Floats:
        """The distances (N, N) that trees, maps and groups are made from.

        A similarity counts by what it lacks to 1; a distance or penalty below 0 counts as 0.

        Args:
            measure: its name; the first by default.
            layer: one of ``layers``; the mean of all by default.

        Returns:
            A symmetric matrix, 0 on its diagonal.

        Raises:
            MeasureError: as ``matrix``; or two networks have no value.
        """
        measure, layer = self._named(measure, layer)
        found = distances_of(self._values(measure, layer), self.measures[measure] == "distance")
        if np.isnan(found).any():
            one, other = (self.names[at] for at in np.argwhere(np.isnan(found))[0])
            raise MeasureError(
                f"{measure} has no value between {one} and {other} at {layer}: expected one for every two networks; "
                "choose another measure or layer."
            )
        return found

    @kinds()
    def tree(self, measure: str | None = None, layer: str | None = None) -> Floats:
        """The dendrogram: average linkage, leaves in the best order, as ``scipy.cluster.hierarchy`` has it.

        Args:
            measure: its name; the first by default.
            layer: one of ``layers``; the mean of all by default.

        Returns:
            Shape (N - 1, 4).

        Raises:
            MeasureError: as ``distances``.
        """
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        condensed = squareform(self.distances(measure, layer), checks=False)
        found: Floats = linkage(condensed, "average", optimal_ordering=True)
        return found

    @kinds()
    def order(self, measure: str | None = None, layer: str | None = None) -> list[str]:
        """The networks in the order of the tree's leaves.

        Args:
            measure: its name; the first by default.
            layer: one of ``layers``; the mean of all by default.

        Returns:
            Their names.

        Raises:
            MeasureError: as ``distances``.
        """
        from scipy.cluster.hierarchy import leaves_list

        return [self.names[at] for at in leaves_list(self.tree(measure, layer))]

    @kinds()
    def map(self, measure: str | None = None, layer: str | None = None, *, seed: int = 0) -> tuple[pl.DataFrame, float]:
        """Places in the plane that are as far apart as the networks are, and how badly that succeeds.

        Args:
            measure: its name; the first by default.
            layer: one of ``layers``; the mean of all by default.
            seed: of the starts, of which the best is taken.

        Returns:
            A row for each network (network, group, x, y), and the stress: 0 is perfect, above 0.2 the map misleads.

        Raises:
            MeasureError: as ``distances``.
        """
        from sklearn.manifold import smacof

        wanted = self.distances(measure, layer)
        if not 0 <= seed < 2**32:
            raise MeasureError(f"The seed of a map is wrong: expected 0 to {2**32 - 1}, found {seed}.")
        places, _ = smacof(wanted, n_components=2, n_init=8, random_state=seed, normalized_stress=False)
        places = places - places.mean(0)
        _, _, turn = np.linalg.svd(places, full_matrices=False)  # the long way lies across
        places = places @ turn.T
        upper = np.triu_indices(len(self.names), 1)
        shown = np.linalg.norm(places[:, None] - places, axis=2)[upper]
        total = float((wanted[upper] ** 2).sum())
        stress = float(np.sqrt(((shown - wanted[upper]) ** 2).sum() / total)) if total else 0.0
        kin = {"group": [self.groups.get(name) for name in self.names]}
        return pl.DataFrame({"network": self.names, **kin, "x": places[:, 0], "y": places[:, 1]}), stress

    @cached_property
    def separation(self) -> pl.DataFrame:
        """Whether groups stand apart, one row for each measure and layer, and for the mean of all layers.

        Columns: measure, kind, layer, depth; silhouette (-1 to 1); auc, how often two networks of one group are nearer
        than two of different groups (1 always, 0.5 no better than chance); d_prime, by how many standard deviations;
        p, in which share of all ways to name the groups auc is as high (of 999 drawn ones where there are more);
        within and between, the mean
        distances, and how many pairs.

        Raises:
            MeasureError: there are no groups.
        """
        if not self.groups:
            raise MeasureError("No groups were given: expected family(groups={network: group, ...}).")
        rows = []
        for measure, kind in self.measures.items():
            for layer in (ALL, *self.layers):
                values = distances_of(self._values(measure, layer), kind == "distance")
                if not np.isnan(values).any():
                    depth = self.depths[self.layers.index(layer)] if layer != ALL else None
                    told = _apart(values, [self.groups[name] for name in self.names])
                    rows.append({"measure": measure, "kind": kind, "layer": layer, "depth": depth, **told})
        return pl.DataFrame(rows, SCHEMA)

    @kinds()
    def figure(self, what: str = "family", *, measure: str | None = None, layer: str | None = None) -> Figure:
        """Draw a matplotlib figure.

        Args:
            what: "family" (heat map in the tree's order, tree, map) or "separation" (of groups, by depth and measure).
            measure: of a family; the first by default.
            layer: of a family; the mean of all by default.

        Returns:
            A figure of matplotlib, not shown.

        Raises:
            MeasureError: as ``distances``; there is no such figure, or there are no groups to be told apart.
        """
        from .figures.family import family_figure, separation_figure

        if what not in ("family", "separation"):
            raise MeasureError(f"A family has no figure {what!r}: expected 'family' or 'separation'.")
        if what == "separation":
            return separation_figure(self.separation, self.layers)
        measure, layer = self._named(measure, layer)
        places, stress = self.map(measure, layer)
        return family_figure(
            self._values(measure, layer),
            self.tree(measure, layer),
            places,
            stress,
            title=f"{measure}, {layer}",
            distance=self.measures[measure] == "distance",
        )

    def sentences(self) -> list[str]:
        """What tells the groups apart, best first, in words."""
        if not self.groups:
            return []
        every = self.separation.filter(pl.col("layer") == ALL).sort("auc", "d_prime", descending=True, nulls_last=True)
        best = self.separation.filter(pl.col("layer") != ALL).sort("auc", "d_prime", descending=True, nulls_last=True)
        found = []
        for row in every.iter_rows(named=True):
            most = best.filter(measure=row["measure"]).head(1).to_dicts()
            if row["p"] <= 0.05:
                told = "tells the groups apart"
            elif row["auc"] == 1.0:
                told = "tells the groups apart, as chance may where networks are so few"
            else:
                told = "does not tell the groups apart beyond chance"
            at = f"; best at {most[0]['layer']} ({most[0]['auc']:.2f})" if most else ""
            found.append(
                f"{row['measure']} {told}: two networks of one group are nearer than two of different groups in "
                f"{100 * row['auc']:.0f} % of comparisons (p = {row['p']:.2g}){at}."
            )
        return found

    def _named(self, measure: str | None, layer: str | None) -> tuple[str, str]:
        measure, layer = measure or next(iter(self.measures)), layer or ALL
        if measure not in self.measures:
            raise MeasureError(f"The family has no measure {measure!r}: expected one of {', '.join(self.measures)}.")
        if layer not in (ALL, *self.layers):
            raise MeasureError(f"The family has no layer {layer!r}: expected one of {', '.join((ALL, *self.layers))}.")
        return measure, layer

    def _values(self, measure: str, layer: str) -> Floats:
        values = self.values[measure]
        if layer != ALL:
            return values[:, :, self.layers.index(layer)].copy()
        held = ~np.isnan(values)
        found: Floats = np.where(held.any(2), np.nansum(values, 2) / np.maximum(held.sum(2), 1), np.nan)
        return found


def _apart(distances: Floats, groups: Sequence[str]) -> dict[str, Any]:
    """How far groups stand apart, from distances (N, N)."""
    from scipy.stats import rankdata
    from sklearn.metrics import silhouette_score

    labels = np.unique(groups, return_inverse=True)[1]
    upper = np.triu_indices(len(labels), 1)
    pairs = distances[upper]
    ranks = rankdata(pairs)

    def auc(labels: np.ndarray[Any, Any]) -> float:
        same = (labels[:, None] == labels)[upper]
        n, m = int(same.sum()), int((~same).sum())
        return float((ranks[~same].sum() - m * (m + 1) / 2) / (n * m))

    same = (labels[:, None] == labels)[upper]
    within, between = pairs[same], pairs[~same]
    found, shuffled = auc(labels), _shuffled(labels)
    reached = sum(auc(other) >= found - 1e-12 for other in shuffled)
    spread = np.sqrt((within.var(ddof=1) + between.var(ddof=1)) / 2) if min(len(within), len(between)) > 1 else 0.0
    several = len(set(labels)) < len(labels)
    return {
        "silhouette": float(silhouette_score(distances, labels, metric="precomputed")) if several else None,
        "auc": found,
        "d_prime": float((between.mean() - within.mean()) / spread) if spread > 0 else None,
        "p": (1 + reached) / (1 + len(shuffled)),
        "within": float(within.mean()),
        "between": float(between.mean()),
        "n_within": len(within),
        "n_between": len(between),
    }


def _shuffled(labels: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """All other ways to give the labels to networks, or so many drawn ones where there are more."""
    sizes = np.bincount(labels)
    ways = math.factorial(len(labels)) // math.prod(math.factorial(int(n)) for n in sizes)
    if ways > 1 + _DRAWS:
        generator = np.random.default_rng(0)
        return [generator.permutation(labels) for _ in range(_DRAWS)]

    def dealt(left: list[int], at: int) -> Iterator[list[int]]:
        if at == len(labels):
            yield []
        for label, n in enumerate(left):
            if n:
                less = [m - (i == label) for i, m in enumerate(left)]
                yield from ([label, *rest] for rest in dealt(less, at + 1))

    own = labels.tolist()
    return [np.array(way) for way in dealt(sizes.tolist(), 0) if way != own]


def family_of(
    tables: Sequence[pl.DataFrame], names: Sequence[str], groups: Mapping[str, str] | None = None
) -> NetworkFamily:
    """Networks as one set, from values of pairs of layers.

    Args:
        tables: with the columns bottom, bottom_layer, bottom_depth, the same of top, measure, kind, value.
        names: the networks.
        groups: {network: group}.

    Raises:
        MeasureError: fewer than three networks, groups that do not cover them.
        StudyError: there are no values.
    """
    if len(names) < 3:
        raise MeasureError(f"A family needs three networks at least, found {', '.join(names) or 'none'}.")
    kin = check_groups(groups, names) if groups else {}
    columns = ["bottom", "bottom_layer", "bottom_depth", "top", "top_layer", "top_depth", "measure", "kind", "value"]
    rows = pl.concat([table.select(columns) for table in tables]).drop_nulls("value")
    if rows.is_empty():
        raise StudyError("There is nothing to show of the family: expected a measured value, found none.")
    depths = _depths(rows, names)
    fewest = min(depths.values(), key=len)
    stages = {name: _nearest(own, list(fewest.values())) for name, own in depths.items()}
    kinds = dict(rows.select("measure", "kind").unique(maintain_order=True).iter_rows())
    values = {measure: _cube(rows.filter(measure=measure), names, stages) for measure in kinds}
    return NetworkFamily(tuple(names), tuple(fewest), tuple(fewest.values()), kinds, values, kin)


def stitched(records: Sequence[Record]) -> pl.DataFrame:
    """Penalties, and held-out R² of the maps, of a family's stitches, as ``family_of`` takes them."""
    table = settled(frame(records), records)
    found = settings(measured(table))
    if not found:
        raise StudyError("There is nothing to show of the family: expected a finished cell with a penalty, found none.")
    rows = pl.concat([panel(table, bottom, top, found[0]) for bottom, top in pairs(table)])
    kinds = {"penalty": "distance", "r2": "similarity"}
    rows = rows.filter((pl.col("control") == "pair") & pl.col("metric").is_in(list(kinds)))
    return rows.with_columns(pl.col("metric").alias("measure"), pl.col("metric").replace(kinds).alias("kind"))


def marked_family(family: NetworkFamily, weights: Mapping[str, str]) -> NetworkFamily:
    """The family with the names of networks whose weights are random marked so, for a reader."""
    names = {name: mark(name, weights.get(name, "")) for name in family.names}
    groups = {names[name]: group for name, group in family.groups.items()}
    return replace(family, names=tuple(names.values()), groups=groups)


def renamed(table: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Values of pairs under other names of the networks."""
    return table.with_columns(pl.col(side).replace(names) for side in ("bottom", "top"))


def _depths(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """{network: {layer: depth}}, early layers first, of layers that have a value."""
    ends = pl.concat(
        [
            rows.select(pl.col(side).alias("network"), pl.col(f"{side}_layer").alias("layer"), depth=f"{side}_depth")
            for side in ("bottom", "top")
        ]
    ).unique(maintain_order=True)
    found = {name: ends.filter(network=name).sort("depth", maintain_order=True) for name in names}
    left = next((name for name, own in found.items() if own.is_empty()), None)
    if left is not None:
        raise MeasureError(f"The network {left!r} has no value with any other: leave it out, or measure it.")
    return {name: dict(own.select("layer", "depth").iter_rows()) for name, own in found.items()}


def _nearest(layers: Mapping[str, float], depths: Sequence[float]) -> list[str]:
    """For each depth the layer that is nearest."""
    return [min(layers, key=lambda layer: abs(layers[layer] - depth)) for depth in depths]


def _cube(rows: pl.DataFrame, names: Sequence[str], stages: Mapping[str, Sequence[str]]) -> Floats:
    """Values (N, N, layers), the mean of both ways; where two layers were not measured, of the nearest to the top's."""
    depth = {name: i for i, name in enumerate(names)}
    seams: dict[tuple[str, str, str], list[tuple[str, float, float, float]]] = {}
    for row in rows.iter_rows(named=True):
        key = row["bottom"], row["top"], row["top_layer"]
        seams.setdefault(key, []).append((row["bottom_layer"], row["bottom_depth"], row["top_depth"], row["value"]))
    layers = len(next(iter(stages.values())))
    total, counts = np.zeros((len(names),) * 2 + (layers,)), np.zeros((len(names),) * 2 + (layers,))
    for (bottom, top, top_layer), own in seams.items():
        for at, stage in enumerate(stages[top]):
            if stage != top_layer or bottom == top or bottom not in depth or top not in depth:
                continue
            exact = [value for layer, _, _, value in own if layer == stages[bottom][at]]
            if not exact:
                nearest = min(abs(below - above) for _, below, above, _ in own)
                exact = [value for _, below, above, value in own if abs(below - above) == nearest]
            total[depth[bottom], depth[top], at] += np.mean(exact)
            counts[depth[bottom], depth[top], at] += 1
    total, counts = total + total.swapaxes(0, 1), counts + counts.swapaxes(0, 1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
