"""The three questions: stitch one seam, compare two networks, measure their similarity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import StitchError
from .fit.options import fit_spec
from .network import Network
from .notation import Seam, parse
from .sources.data import Data
from .stitched import Stitched
from .study.canonical import Record
from .study.plan import Axes, plan
from .study.run import data_config, describe_donor, pick_device, run
from .study.store import Store
from .study.sweep import Bench, Tell, run_sweep

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

CONTROLS = ("self", "random", "identity", "class-noise", "shuffled")


def stitch(
    bottom: Network,
    top: Network,
    at: str | tuple[str, str],
    data: Data,
    *,
    family: str = "affine",
    objective: str = "task",
    seed: int = 0,
    normalisation: str = "frozen",
    device: str = "auto",
    tell: Tell | None = None,
    **fit: Any,
) -> Stitched:
    """Fit one stitch and measure it on the test split.

    Args:
        bottom, top: the donors; neither is changed.
        at: the seam: "layer2" (both sides), "layer2 -> blocks.4", or a pair of layers.
        data: what to fit, choose and measure on.
        family: "identity", "permutation", "orthogonal", "scaled-orthogonal", "low-rank:R", "affine",
            "norm-affine-norm", "conv:K", "mlp:H".
        objective: "match" (closed form), "task", "distill", "downstream", or "downstream+task".
        seed: of batch order, augmentation and random starts.
        normalisation: what BatchNorm does in the stitched model: "frozen" (the donors' statistics), "recalibrated"
            (estimated anew through the stitched path, on a copy), or "batch" (what the paper's code did).
        device: "cpu", "cuda" or "auto".
        tell: hears of progress: (what, done, of how many).
        **fit: fields of the fit options: steps, batch_size, learning_rate, init, ...

    Returns:
        The stitched model, with ``penalty``, ``interval`` (points, or nats per token) and ``metrics``.

    Raises:
        StitchError: one sentence that names what was expected, what was found and what to try.
    """
    seam = _seam(at)
    spec = fit_spec(fit)
    below, above = _apart(bottom, top)
    named = {n.name: n for n in (below, above)}
    where = f"{below.cut(seam.bottom_layer)} -> {above.cut(seam.top_layer)}"
    axes = Axes((where,), (family,), (objective,), (), (seed,), spec, normalisation)
    cells = plan([(describe_donor(below), describe_donor(above))], axes, data_config(data))
    bench = Bench(named, data, spec, pick_device(device))
    fitted = run_sweep(cells, bench, tell=tell)[0]
    stream = fitted.stream
    assert stream.stitcher is not None
    return Stitched(
        below, above, stream.bottom_layer, stream.top_layer, stream.stitcher, family=family, record=fitted.record,
        statistics=fitted.statistics,
    )  # fmt: skip


def compare(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    layers: str | Sequence[str] = "matching",
    family: str | Sequence[str] = "affine",
    objective: str | Sequence[str] = "task",
    controls: Sequence[str] = CONTROLS,
    seeds: Sequence[int] = (0,),
    both: bool = True,
    out: str | Path | None = None,
    normalisation: str = "frozen",
    device: str = "auto",
    tell: Tell | None = None,
    **fit: Any,
) -> Comparison:
    """Stitch two networks at all matching layers, in both directions, with the controls.

    Args:
        layers: "matching", "all" (every block cut to every block cut), or seams.
        family, objective: one or several, as for :func:`stitch`.
        controls: of "self", "random", "identity", "class-noise", "shuffled".
        seeds: one sweep for each.
        both: also top -> bottom.
        out: a folder that keeps finished cells; the same call again does only what is missing.

    Raises:
        StitchError: as :func:`stitch`; StudyError if ``out`` was made by another comparison.
    """
    below, above = _apart(bottom, top)
    pairs = [(below.name, above.name)] + ([(above.name, below.name)] if both else [])
    return compare_many(
        [below, above], pairs, data, layers=layers, family=family, objective=objective, controls=controls,
        seeds=seeds, out=out, normalisation=normalisation, device=device, tell=tell, **fit,
    )  # fmt: skip


def compare_many(
    networks: Sequence[Network],
    pairs: Sequence[tuple[str, str]],
    data: Data,
    *,
    layers: str | Sequence[str] = "matching",
    family: str | Sequence[str] = "affine",
    objective: str | Sequence[str] = "task",
    controls: Sequence[str] = CONTROLS,
    seeds: Sequence[int] = (0,),
    out: str | Path | None = None,
    normalisation: str = "frozen",
    device: str = "auto",
    tell: Tell | None = None,
    **fit: Any,
) -> Comparison:
    """As :func:`compare`, for any ordered (bottom, top) pairs of several networks; equal controls are fitted once."""
    unknown = [c for c in controls if c not in CONTROLS]
    if unknown:
        raise StitchError(f"The control {unknown[0]!r} is unknown: expected one of {', '.join(CONTROLS)}.")
    axes = Axes(
        layers if isinstance(layers, str) else tuple(layers),
        _several(family), _several(objective), tuple(controls), tuple(seeds), fit_spec(fit), normalisation,
    )  # fmt: skip
    spec = {
        "donors": {n.name: n.fingerprint() for n in networks},
        "pairs": [list(p) for p in pairs],
        "data": data.fingerprint,
        "layers": axes.layers if isinstance(axes.layers, str) else list(axes.layers),
        "families": list(axes.families),
        "objectives": list(axes.objectives),
        "controls": list(axes.controls),
        "seeds": list(axes.seeds),
        "normalisation": normalisation,
        "fit": axes.fit.model_dump(mode="json"),
    }
    store = Store(out, spec) if out is not None else None
    records = run(networks, pairs, data, axes, store=store, device=device, tell=tell)
    return Comparison(records, spec)


class Comparison:
    """The records of a comparison, and the ways to look at them."""

    def __init__(self, records: Sequence[Record], spec: dict[str, Any]) -> None:
        self.records = list(records)
        self.spec = spec

    @property
    def frame(self) -> pl.DataFrame:
        """One value a row: networks and layers, family, objective, control, seed, metric, value, low, high."""
        from .report.frame import frame

        return frame(self.records)

    def figure(self, what: str = "penalty", *, pair: tuple[str, str] | None = None) -> Figure:
        """A matplotlib figure: "penalty" (against depth, with controls), "matrix", or "ladder".

        Args:
            pair: (bottom, top); the first pair by default.
        """
        from .report.figures import ladder_figure, penalty_figure
        from .report.frame import panel
        from .report.heatmaps import matrix_figure

        table = self.frame
        bottom, top = pair or (str(self.spec["pairs"][0][0]), str(self.spec["pairs"][0][1]))
        rows = panel(table, bottom, top)
        if what == "penalty":
            return penalty_figure(rows, bottom, top)
        if what == "matrix":
            return matrix_figure(rows, bottom, top, ["penalty", "cka", "r2"])
        if what == "ladder":
            return ladder_figure(rows, bottom, top)
        raise StitchError(f"The figure {what!r} is unknown: expected 'penalty', 'matrix' or 'ladder'.")

    def report(self, path: str | Path, *, title: str = "Stitching report", command: str | None = None) -> Path:
        """Write the inert HTML page."""
        from .report.page import page
        from .study.atomic import write_atomic

        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, page(self.records, title=title, spec=self.spec, command=command).encode())
        return target

    def _repr_html_(self) -> str:
        from .report.svg import to_svg

        return to_svg(self.figure("penalty"))


def _seam(at: str | tuple[str, str]) -> Seam:
    return parse(at) if isinstance(at, str) else Seam("", at[0], "", at[1])


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _apart(bottom: Network, top: Network) -> tuple[Network, Network]:
    """Two networks with distinct names; the same network twice is called by one name."""
    if bottom is not top and bottom.name == top.name:
        if bottom.fingerprint() == top.fingerprint():
            return bottom, bottom
        raise StitchError(f"Both networks are called {bottom.name!r}: expected distinct names; pass name= to Network.")
    return bottom, top
