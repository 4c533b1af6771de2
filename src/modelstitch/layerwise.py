"""Similarity measures of every bottom layer with every top layer, over the same examples of a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .errors import MeasureError, NonFiniteError
from .fit.senders import view_of
from .measures import Measure, Null, find
from .measures.checks import pair as checked
from .measures.evaluate import level, null_level
from .measures.kernels import KERNELS
from .memory import available_bytes, readable, require
from .moments_grid import MomentsGrid
from .moments_null import NullGrid
from .network import Layer, Network
from .sources.data import Batch, Data, Split
from .sources.token_view import check_text
from .stitchers import masked_mean, masks

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

VIEWS = {"pool": "mean over positions", "flatten": "all positions and channels as features"}
DEFAULT = ("cka", "cca", "procrustes", "r2")
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """How the measures will be computed, and what that takes.

    Attributes:
        blocks: (bottom layers, top layers) of each pass over the data; one, unless the sums of all do not fit.
        streaming: whether sums of one pass suffice, so that memory does not grow with the examples.
        size: bytes of the largest pass, beside the networks and one batch.
        examples: how many there are.
    """

    blocks: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    streaming: bool
    size: int
    examples: int

    def describe(self) -> str:
        """The plan in words."""
        how = "sums of all layers" if self.streaming else "all activations kept"
        passes = "one pass" if len(self.blocks) == 1 else f"{len(self.blocks)} passes"
        return f"{self.examples:,} examples in {passes}, {how}: {readable(self.size)} of memory"


@dataclass(frozen=True)
class Likeness:
    """One measure of one pair of layers; ``value`` is None where it is not defined, and ``note`` says why."""

    bottom_layer: str
    top_layer: str
    measure: Measure
    value: float | None
    null: Null | None
    note: str = ""


class Similarities:
    """Measures of layer pairs, and the ways to look at them.

    Attributes:
        bottom, top: the networks' names.
        results: one for each pair of layers and measure.
        plan: how they were computed.
        view: "pool" or "flatten".
        describe: what a reader must know beside the numbers, as sentences.
    """

    def __init__(
        self, bottom: Network, top: Network, results: Sequence[Likeness], plan: Plan, view: str, data: str
    ) -> None:
        self.bottom, self.top = bottom.name, top.name
        self.results, self.plan, self.view, self.data = list(results), plan, view, data
        self._place = {
            side: {name: (at, network.layer(name).depth) for at, name in enumerate(network.layers)}
            for side, network in (("bottom", bottom), ("top", top))
        }

    @property
    def describe(self) -> list[str]:
        notes = list(dict.fromkeys(r.note for r in self.results if r.note))
        return [
            f"Data: {self.data}.",
            f"Each example is one row: {VIEWS[self.view]}.",
            f"{self.plan.describe()}.",
            *notes,
        ]

    @property
    def frame(self) -> pl.DataFrame:
        """One value a row: bottom, bottom_layer, top, top_layer, measure, kind, value, null_mean, null_low, null_high, n."""
        import polars as pl

        rows = [
            {
                "bottom": self.bottom, "bottom_layer": r.bottom_layer, "top": self.top, "top_layer": r.top_layer,
                "measure": r.measure.name, "kind": r.measure.kind, "value": r.value,
                "null_mean": r.null and r.null.mean, "null_low": r.null and r.null.low,
                "null_high": r.null and r.null.high, "n": self.plan.examples, "note": r.note,
            }
            for r in self.results
        ]  # fmt: skip
        text = ("bottom", "bottom_layer", "top", "top_layer", "measure", "kind", "note")
        return pl.DataFrame(
            rows, {k: pl.String if k in text else pl.Int64 if k == "n" else pl.Float64 for k in rows[0]}
        )

    def figure(self, measures: Sequence[str] | None = None) -> Figure:
        """Heat maps side by side, one for each measure; layers at matching depth are framed."""
        import polars as pl

        from .report.heatmaps import matrix_figure

        table = self.frame.filter(pl.col("value").is_not_null()).with_columns(
            pl.lit("pair").alias("control"),
            pl.col("measure").alias("metric"),
            *(
                pl.col(f"{side}_layer").replace_strict({k: v[i] for k, v in self._place[side].items()}).alias(name)
                for side in ("bottom", "top")
                for i, name in enumerate((f"{side}_index", f"{side}_depth"))
            ),
        )
        names = [find(m).name for m in measures] if measures else table["measure"].unique(maintain_order=True).to_list()
        return matrix_figure(table, self.bottom, self.top, names)

    def _repr_html_(self) -> str:
        from .report.svg import to_svg

        return to_svg(self.figure())


def similarity(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    measures: Sequence[str | Measure] = DEFAULT,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
    view: str = "pool",
    split: Split = "val",
    samples: int | None = None,
    batch_size: int = 256,
    shuffles: int = 20,
    seed: int = 0,
    device: str = "cpu",
    available: int | None = None,
    tell: Tell | None = None,
) -> Similarities:
    """Measure how alike every chosen layer of two networks is, each value beside its null level.

    Args:
        bottom, top: the networks; neither is changed.
        data: where the examples come from; both networks see the same ones, each through its own view.
        measures: names, aliases or Measures; see docs/measures.md.
        layers: (bottom's, top's); the block cuts of both by default. Any layer may be named, exact cut or not.
        view: how an example becomes one row: "pool" (mean over positions) or "flatten" (positions and channels).
        split: "val", "fit" or "test"; never augmented.
        samples: at most so many examples, drawn by the seed.
        shuffles: pairings of the null level; 0 leaves it out.
        device: "cpu" or "cuda".
        available: bytes that may be used; by default what is free.
        tell: hears of progress: (what, done, of how many).

    Measures that need only sums run in one pass whose memory does not grow with the examples, or in several where the sums
    of all pairs do not fit; other measures keep all activations.

    Raises:
        MeasureError: a measure or view is unknown, what is needed does not fit (with its size), or a measure is defined
            for none of the pairs.
        NonFiniteError: NaN or infinity; the layer and the sample's id are named.
        UnknownLayerError: with the closest names.
    """
    check_text((bottom, top), data)
    chosen = [find(measure) for measure in measures]
    plan = plan_similarity(
        bottom, top, data, measures=chosen, layers=layers, view=view, split=split, samples=samples, shuffles=shuffles,
        available=available,
    )  # fmt: skip
    where = torch.device(device)

    def batches() -> Iterator[Any]:
        yield from data.batches(split, batch_size, seed=seed, limit=samples)

    results: list[Likeness] = []
    for block in plan.blocks:
        pairs = _Rows(bottom, top, block, view, where, batches, plan.examples, tell)
        results += (_from_sums if plan.streaming else _from_rows)(pairs, chosen, shuffles, seed)
    for measure in chosen:
        own = [r for r in results if r.measure is measure]
        if all(r.value is None for r in own):
            raise MeasureError(own[0].note)
    order = {
        (b, t): i for i, (b, t) in enumerate((b, t) for b in _names(bottom, layers, 0) for t in _names(top, layers, 1))
    }
    results.sort(key=lambda r: (chosen.index(r.measure), order[r.bottom_layer, r.top_layer]))
    return Similarities(bottom, top, results, plan, view, f"{data.name}, {split} split")


def plan_similarity(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    measures: Sequence[str | Measure] = DEFAULT,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
    view: str = "pool",
    split: Split = "val",
    samples: int | None = None,
    shuffles: int = 20,
    available: int | None = None,
) -> Plan:
    """What :func:`similarity` with these arguments will do and how much memory it will take.

    Raises:
        MeasureError, UnknownLayerError: as :func:`similarity`.
    """
    if view not in VIEWS:
        raise MeasureError(f"The view {view!r} is unknown: expected one of {', '.join(VIEWS)}.")
    chosen = [find(measure) for measure in measures]
    if not chosen:
        raise MeasureError("No measure was chosen: expected one at least.")
    widths = [
        {name: _width(network.layer(name), view) for name in _names(network, layers, side)}
        for side, network in enumerate((bottom, top))
    ]
    n = min(samples or data.size(split), data.size(split))
    free = available_bytes() if available is None else available
    kept = _kept(widths, n, chosen)
    if all(m.from_moments for m in chosen):
        size = _sums(widths, shuffles)
        # Wide layers of few examples take less as they are.
        if size <= kept or (free is not None and kept > free):
            blocks = _split(widths[0], widths[1], shuffles, free)
            parts = [[{k: widths[i][k] for k in names} for i, names in enumerate(block)] for block in blocks]
            return Plan(tuple(blocks), True, max(_sums(part, shuffles) for part in parts), n)
    way_out = "choose fewer layers or samples=, view='pool', or only measures that docs/measures.md marks 'moments'"
    require(
        kept,
        f"The activations of {len(widths[0])} + {len(widths[1])} layers at {n:,} examples",
        way_out,
        available=free,
    )
    return Plan(((tuple(widths[0]), tuple(widths[1])),), False, kept, n)


def _names(network: Network, layers: tuple[Sequence[str], Sequence[str]] | None, side: int) -> list[str]:
    if layers is not None and (isinstance(layers, str) or len(layers) != 2 or any(isinstance(s, str) for s in layers)):
        raise MeasureError(f"The layers must be two lists, the bottom's and the top's, found {layers!r}.")
    wanted = network.blocks if layers is None else list(layers[side])
    if not wanted:
        raise MeasureError(f"No layer of {network.name!r} was chosen: expected one at least; see Network.layers.")
    return list(dict.fromkeys(network.layer(name).name for name in wanted))


def _width(layer: Layer, view: str) -> int:
    if -1 in layer.shape or not layer.shape:
        raise MeasureError(
            f"The layer {layer.name!r} has no fixed shape for one sample, found {layer.shape}: choose another layer."
        )
    if view == "flatten":
        return int(torch.Size(layer.shape).numel())
    if layer.kind == "other":
        raise MeasureError(
            f"The layer {layer.name!r} of shape {layer.shape} has no known positions to average over: use view='flatten'."
        )
    return layer.channels


def _sums(widths: Sequence[dict[str, int]], shuffles: int) -> int:
    p, q = (sum(side.values()) for side in widths)
    return MomentsGrid.bytes_needed(widths[0], widths[1]) + 8 * shuffles * p * q


def _kept(widths: Sequence[dict[str, int]], n: int, measures: Sequence[Measure]) -> int:
    rows = 4 * n * sum(sum(side.values()) for side in widths)
    squares = 8 * n * n * (sum(map(len, widths)) + 4) if any(m.name in KERNELS for m in measures) else 0
    return rows + squares


def _split(
    bottoms: dict[str, int], tops: dict[str, int], shuffles: int, free: int | None
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Halve the layers of the wider side until the sums of each block fit."""
    size = _sums((bottoms, tops), shuffles)
    if free is None or size <= free:
        return [(tuple(bottoms), tuple(tops))]
    if len(bottoms) == len(tops) == 1:
        what = f"The sums of {next(iter(bottoms))} with {next(iter(tops))}"
        require(
            size, what, "use view='pool', fewer shuffles, or fewer samples so that activations are kept", available=free
        )
    turn = len(tops) == 1 or (len(bottoms) > 1 and sum(bottoms.values()) >= sum(tops.values()))
    long = list((bottoms if turn else tops).items())
    halves = dict(long[: len(long) // 2]), dict(long[len(long) // 2 :])
    return [
        block for half in halves for block in (_split(half, tops, shuffles, free) if turn else _split(bottoms, half, shuffles, free))
    ]  # fmt: skip


class _Rows:
    """One pass over the data: the rows of every layer of a block, batch by batch."""

    def __init__(
        self, bottom: Network, top: Network, block: tuple[tuple[str, ...], tuple[str, ...]], view: str, device: torch.device,
        batches: Callable[[], Iterator[Any]], examples: int, tell: Tell | None,
    ) -> None:  # fmt: skip
        self.networks, self.block, self.view, self.device = (bottom, top), block, view, device
        self.batches, self.examples, self.tell = batches, examples, tell

    def widths(self) -> list[dict[str, int]]:
        return [
            {name: _width(network.layer(name), self.view) for name in names}
            for network, names in zip(self.networks, self.block)
        ]

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        taps = [network.taps(names).to(self.device) for network, names in zip(self.networks, self.block)]
        done = 0
        for batch in self.batches():
            found = []
            for network, tap in zip(self.networks, taps):
                with torch.no_grad():
                    values = tap(view_of(network, batch, self.device))
                found.append({k: _rows_of(v, network, k, self.view, batch) for k, v in values.items()})
            yield found[0], found[1]
            done += len(batch.ids)
            if self.tell:
                self.tell(f"{self.networks[0].name} and {self.networks[1].name}", done, self.examples)

    def where(self, b: str, t: str) -> str:
        return f"{self.networks[0].name}@{b} and {self.networks[1].name}@{t}"


def _rows_of(value: Tensor, network: Network, layer: str, view: str, batch: Batch) -> Tensor:
    value = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    kind, mask, ids = network.layer(layer).kind, batch.mask, batch.ids
    padded = mask is not None and masks(mask, value, kind)
    if padded and view == "flatten":
        raise MeasureError(
            f"The samples at {network.name}@{layer} are padded to one length: expected view='pool', which leaves padding out."
        )
    if view == "flatten" or kind == "vector":
        rows = value.flatten(1)
    elif mask is not None and padded:
        rows = masked_mean(value, mask)
    else:
        rows = value.flatten(2).mean(2) if kind == "map" else value.flatten(1, -2).mean(1)
    if not bool(torch.isfinite(rows.sum())):
        bad = (~torch.isfinite(rows)).any(1).nonzero()
        if len(bad):
            raise NonFiniteError(
                f"The activations of {network.name}@{layer} hold NaN or infinity, first for the sample {int(ids[bad[0, 0]])}: "
                "expected finite numbers; check the weights and inputs, or use float32 where float16 overflows."
            )
    return rows


def _attempt(find_value: Callable[[], float], where: str) -> tuple[float | None, str]:
    try:
        return find_value(), ""
    except MeasureError as error:
        return None, f"{where}: {error}"


def _from_sums(pairs: _Rows, measures: Sequence[Measure], shuffles: int, seed: int) -> list[Likeness]:
    bottoms, tops = pairs.widths()
    grid = NullGrid(bottoms, tops, shuffles=shuffles, seed=seed, device=pairs.device)
    for below, above in pairs:
        grid.update(below, above)
    results = []
    for b in bottoms:
        for t in tops:
            for measure in measures:
                of = measure.from_moments
                assert of is not None
                value, note = _attempt(lambda: of(grid.pair(b, t)), pairs.where(b, t))  # noqa: B023 - called at once
                null = None
                if shuffles and value is not None:
                    null = level([of(grid.null(b, t, k)) for k in range(shuffles)])
                results.append(Likeness(b, t, measure, value, null, note))
    return results


def _from_rows(pairs: _Rows, measures: Sequence[Measure], shuffles: int, seed: int) -> list[Likeness]:
    parts = list(pairs)
    sides = [{name: torch.cat([part[i][name] for part in parts]) for name in parts[0][i]} for i in (0, 1)]
    del parts
    n = len(next(iter(sides[0].values())))
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(n, generator=generator).to(pairs.device) for _ in range(shuffles)]
    results = []
    for measure in measures:
        kernel = KERNELS.get(measure.name)
        ready: list[dict[str, Tensor | str]] = [{}, {}]
        if kernel is not None:
            for side, prepared, network in zip(sides, ready, pairs.networks):
                for name, rows in side.items():
                    prepared[name] = _prepared(rows, measure, f"{network.name}@{name}")
        for b, x in sides[0].items():
            for t, y in sides[1].items():
                where = pairs.where(b, t)
                if kernel is None:
                    value, note = _attempt(lambda: measure(x, y), where)  # noqa: B023 - called at once
                    null = null_level(measure, x, y, n=shuffles, seed=seed) if shuffles and value is not None else None
                else:
                    one, other = ready[0][b], ready[1][t]
                    if isinstance(one, str) or isinstance(other, str):
                        results.append(Likeness(b, t, measure, None, None, str(one if isinstance(one, str) else other)))
                        continue
                    value, note = kernel.value(one, other, measure.name), ""
                    null = level([kernel.value(one, other, measure.name, o) for o in orders]) if shuffles else None
                results.append(Likeness(b, t, measure, value, null, note))
    return results


def _prepared(rows: Tensor, measure: Measure, where: str) -> Tensor | str:
    """The side's matrix, or why there is none."""
    try:
        unit, _ = checked(rows, rows, measure=measure.name, needed=measure.min_examples, names=(where, where))
        return KERNELS[measure.name].prepare(unit, where)
    except MeasureError as error:
        return str(error)
