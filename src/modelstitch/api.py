"""The three questions: stitch one seam, compare two networks, measure their similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data.data import Data, check_data
from .engine.alone import Expected, introduce
from .engine.entry import check_entry
from .engine.fit.normalisation import check_policy
from .engine.fit.objectives import Loss
from .engine.fit.options import fit_spec
from .engine.fit.own_loss import OwnLoss, checked, name_of
from .engine.fit.tensorboard import watching
from .engine.scores import need_scores
from .errors import FitError, StitchError
from .network import Network, apart, check_networks
from .notation import Seam, parse
from .results import Results
from .stitched.stitched import Stitched
from .stitchers import own_codes
from .study.needs import Needs
from .study.plan import Axes, distinct_seeds, plan
from .study.question import (
    FAMILY,
    LAYERS,
    NORMALISATION,
    OBJECTIVE,
    SEEDS,
    chosen_controls,
    written_controls,
    written_objective,
)
from .study.run import budget, check_controls, check_named, data_config, describe_donor, plan_run, run
from .study.store import Store
from .study.sweep import Bench, check_shared, run_sweep
from .support.ambient import in_settled
from .support.device import pick_device
from .support.progress import Tell
from .support.ranks import writes

if TYPE_CHECKING:
    pass


Goal = str | OwnLoss | tuple[str | OwnLoss, ...]


@in_settled
def stitch(
    bottom: Network,
    top: Network,
    at: str | tuple[str, str],
    data: Data,
    *,
    family: str = FAMILY,
    objective: Goal = OBJECTIVE,
    seed: int = SEEDS[0],
    normalisation: str = NORMALISATION,
    device: str = "auto",
    tell: Tell | None = None,
    tensorboard: str | Path | None = None,
    memory: float | None = None,
    second: Data | None = None,
    expected_error: Expected | None = None,
    error_tolerance: float | None = None,
    **fit: Any,
) -> Stitched:
    """Fit one stitch and measure it on the test split.

    Args:
        bottom, top: the donors; neither is changed.
        at: the seam: "layer2" (both sides), "layer2 -> blocks.4", or a pair of layers.
        data: what to fit, choose and measure on.
        family: "identity", "permutation", "orthogonal", "scaled-orthogonal", "low-rank:R", "affine",
            "norm-affine-norm", "conv:K", "mlp:H".
        objective: "match" (closed form), "task", "distill", "downstream", "downstream+task" (one after the other), or a
            function (stitched, genuine, labels) -> loss, both dicts with "output" and the layers named by ``downstream=``;
            a tuple of these is fitted one after the other.
        seed: of batch order, augmentation and random starts.
        normalisation: what BatchNorm does in the stitched model: "frozen" (the donors' statistics), "recalibrated"
            (estimated anew through the stitched path, on a copy), or "batch" (what the paper's code did).
        device: "cpu", "cuda" or "auto".
        tell: hears of progress: (what, done, of how many).
        tensorboard: a folder for the curves of the fit (extra ``tensorboard``).
        memory: gigabytes that stitches may hold beside the donors and one batch's way through the top, 2 by default; it sets
            how many run at a time.
        second: data whose test split every stitch is measured on too ("second_penalty"): another set, or
            :func:`modelstitch.data.corrupt.corrupted` inputs.
        expected_error: what the donors err on by themselves on the test split, as known from elsewhere: a number for both, or
            {name: number}, in percent or nats per token. Others are refused before anything is fitted.
        error_tolerance: how far off that may be, 1 point or 0.05 nats per token by default, beside what the test split's size
            leaves open.
        **fit: fields of the fit options: steps, batch_size, learning_rate, init, ...

    Returns:
        The stitched model, with ``penalty``, ``interval`` (points, or nats per token) and ``metrics``.

    Raises:
        StitchError: one sentence that names what was expected, what was found and what to try.
    """
    seam = _seam(at)
    seeds = distinct_seeds(seed)
    if len(seeds) > 1:
        raise StitchError(
            f"One stitch has one seed: expected seed=0, found {seed!r}; compare(seeds=...) takes several."
        )
    if isinstance(fit.get("samples"), Sequence):
        raise StitchError(
            f"One stitch is fitted on one number of samples: expected samples=N, found {fit['samples']!r}; compare() takes several."
        )
    spec = fit_spec(fit)
    check_policy(normalisation)
    check_networks(bottom=bottom, top=top)
    check_entry((bottom, top), data, second=second)
    need_scores(top, data)
    below, above = apart(bottom, top)
    named = {n.name: n for n in (below, above)}
    where = str(Seam("", below.cut(seam.bottom_layer), "", above.cut(seam.top_layer)))
    (named_objective,), losses = _objectives([objective])
    axes = Axes(
        (where,), (family,), (named_objective,), (), seeds, spec, normalisation, codes=own_codes([family])
    )  # fmt: skip
    cells = plan([(describe_donor(below), describe_donor(above))], axes, data_config(data, second))
    check_shared(cells)
    with watching(tensorboard) as watch:
        bench = Bench(named, data, spec, pick_device(device), budget(memory), watch, second, losses)
        introduce(bench.all_donors(cells), tell, expected_error, error_tolerance)
        (fitted,) = run_sweep(cells, bench, tell=tell)
    stream = fitted.stream
    if stream.failed:
        raise FitError(stream.failed)
    assert stream.stitcher is not None
    return Stitched(
        below, above, stream.bottom_layer, stream.top_layer, stream.stitcher, family=family, record=fitted.record,
        statistics=fitted.statistics, mask=data.mask,
    )  # fmt: skip


def compare(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    layers: str | Sequence[str | tuple[str, str]] = LAYERS,
    family: str | Sequence[str] = FAMILY,
    objective: Goal | Sequence[Goal] = OBJECTIVE,
    controls: str | Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    other_seeds: Mapping[str, Network] | None = None,
    both: bool = True,
    out: str | Path | Store | None = None,
    normalisation: str = NORMALISATION,
    device: str = "auto",
    tell: Tell | None = None,
    tensorboard: str | Path | None = None,
    memory: float | None = None,
    second: Data | None = None,
    expected_error: Expected | None = None,
    error_tolerance: float | None = None,
    **fit: Any,
) -> Results:
    """Stitch two networks at all matching layers, in both directions, with the controls.

    Args:
        layers: "matching", "all" (every block cut to every block cut), or one seam or several, each as in :func:`stitch`.
        family, objective: one or several, as for :func:`stitch`; a tuple inside a list is one, of several stages.
        controls: of "self", "other-seed" (always there where ``other_seeds`` has one for the top), "random", "identity",
            "class-noise", "class-noise-strong" (three times the noise), "shuffled", and, not by default, "recalibration" (no
            map, only BatchNorm statistics re-estimated); "none" or () for none; by default all, but for class-noise where labels
            are sequences, which have no class.
        seeds: one sweep for each.
        other_seeds: {name of a top: the same architecture trained from another seed}.
        both: also top -> bottom.
        out: a folder that keeps finished cells; the same call again does only what is missing. Or an open
            :class:`modelstitch.study.Store`, whose cells any number of comparisons share.
        normalisation, device, tell, tensorboard, memory, second, expected_error, error_tolerance: as for :func:`stitch`.
        **fit: as for :func:`stitch`; ``samples`` may be several numbers: a curve over the stitcher's fit examples.

    Raises:
        StitchError: as :func:`stitch`; StudyError if ``out`` was made by another comparison.
    """
    networks, pairs = _ends(bottom, top, both)
    return compare_many(
        networks, pairs, data, layers=layers, family=family, objective=objective, controls=controls,
        seeds=seeds, other_seeds=other_seeds, out=out, normalisation=normalisation, device=device, tell=tell,
        tensorboard=tensorboard, memory=memory, second=second, expected_error=expected_error,
        error_tolerance=error_tolerance, **fit,
    )  # fmt: skip


@in_settled
def compare_many(
    networks: Sequence[Network],
    pairs: Sequence[tuple[str, str]],
    data: Data,
    *,
    layers: str | Sequence[str | tuple[str, str]] = LAYERS,
    family: str | Sequence[str] = FAMILY,
    objective: Goal | Sequence[Goal] = OBJECTIVE,
    controls: str | Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    other_seeds: Mapping[str, Network] | None = None,
    out: str | Path | Store | None = None,
    normalisation: str = NORMALISATION,
    device: str = "auto",
    tell: Tell | None = None,
    tensorboard: str | Path | None = None,
    memory: float | None = None,
    second: Data | None = None,
    expected_error: Expected | None = None,
    error_tolerance: float | None = None,
    **fit: Any,
) -> Results:
    """As :func:`compare`, for any ordered (bottom, top) pairs of several networks; equal controls are fitted once."""
    asked = _asked(
        networks, pairs, data, layers=layers, family=family, objective=objective, controls=controls, seeds=seeds,
        other_seeds=other_seeds, normalisation=normalisation, second=second, **fit,
    )  # fmt: skip
    shared = isinstance(out, Store)
    store = out if isinstance(out, Store) else Store(out, asked.spec) if out is not None and writes() else None
    with watching(tensorboard) as watch, store.begun() if store is not None and not shared else nullcontext():
        records = run(
            asked.networks, pairs, data, asked.axes, store=store, whole=not shared, device=device, tell=tell, watch=watch, memory=memory,
            second=second, losses=asked.losses, expected_error=expected_error, error_tolerance=error_tolerance,
        )  # fmt: skip
    return Results(records, asked.spec)


def plan_compare(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    both: bool = True,
    out: str | Path | Store | None = None,
    device: str = "auto",
    memory: float | None = None,
    timed: bool = True,
    **question: Any,
) -> Needs:
    """What :func:`compare` with these arguments will take; nothing is fitted, and no folder made.

    Args:
        timed: measure batches, for an estimate in seconds.
        both, out, device, memory: as for :func:`compare`; cells that ``out`` holds are counted as kept.
        **question: layers, family, objective, controls, seeds, other_seeds, normalisation, second and the fit options.

    Returns:
        Counts, bytes and seconds; ``sentences()`` says them in words.

    Raises:
        StitchError: as :func:`compare` before it fits anything.
    """
    networks, pairs = _ends(bottom, top, both)
    return _plan_many(networks, pairs, data, out, device, memory, timed, question)


@in_settled
def _plan_many(
    networks: list[Network], pairs: list[tuple[str, str]], data: Data, out: str | Path | Store | None, device: str,
    memory: float | None, timed: bool, question: dict[str, Any],
) -> Needs:  # fmt: skip
    asked = _asked(networks, pairs, data, **question)
    store = out if isinstance(out, Store) or out is None else Store.beheld(out, asked.spec)
    return plan_run(
        asked.networks,
        pairs,
        data,
        asked.axes,
        store=store,
        device=device,
        memory=memory,
        second=question.get("second"),
        timed=timed,
    )


def _ends(bottom: Network, top: Network, both: bool) -> tuple[list[Network], list[tuple[str, str]]]:
    """Two networks, told apart, and their ordered pairs."""
    below, above = apart(bottom, top)
    if below is above:
        return [below], [(below.name, below.name)]
    return [below, above], [(below.name, above.name), *([(above.name, below.name)] if both else [])]


@dataclass(frozen=True)
class _Prepared:
    """A comparison that was read and checked: all networks, the grid, the user's own losses, and what its folder is named by."""

    networks: list[Network]
    axes: Axes
    losses: dict[str, Loss]
    spec: dict[str, Any]


def _asked(
    networks: Sequence[Network],
    pairs: Sequence[tuple[str, str]],
    data: Data,
    *,
    layers: str | Sequence[str | tuple[str, str]] = LAYERS,
    family: str | Sequence[str] = FAMILY,
    objective: Goal | Sequence[Goal] = OBJECTIVE,
    controls: str | Sequence[str] | None = None,
    seeds: Sequence[int] = SEEDS,
    other_seeds: Mapping[str, Network] | None = None,
    normalisation: str = NORMALISATION,
    second: Data | None = None,
    **fit: Any,
) -> _Prepared:
    check_data(data)
    sequences = data.labels("val").ndim > 1
    chosen = chosen_controls(written_controls(controls), sequences=sequences, other_seeds=other_seeds or ())
    if isinstance(seeds, int):
        raise StitchError(
            f"seeds are listed: expected seeds=(0, 1) or range(3), found {seeds!r}, which may mean one or several."
        )
    check_controls(chosen, data)
    others = dict(other_seeds or {})
    for network in others.values():
        check_networks(**{"other seed": network})
    check_named(networks, [name for pair in pairs for name in pair], "A pair")
    check_named(networks, others, "An other seed")
    samples = _numbers(fit)
    objectives, losses = _objectives(objective)
    families = _several(family)
    axes = Axes(
        _layers(layers), families, objectives, chosen, distinct_seeds(seeds), fit_spec(fit), normalisation, samples,
        tuple((top, describe_donor(network)) for top, network in others.items()), own_codes(families),
    )  # fmt: skip
    networks = [*networks, *(n for n in others.values() if n not in networks)]
    check_entry(networks, data, second=second)  # before random data are taken for another study's
    spec = {
        "donors": {n.name: n.fingerprint() for n in networks},
        "pairs": [list(p) for p in pairs],
        "data": data.fingerprint,
        "layers": axes.layers if isinstance(axes.layers, str) else list(axes.layers),
        "families": list(axes.families),
        **({"family codes": dict(axes.codes)} if axes.codes else {}),
        "objectives": list(axes.objectives),
        "controls": list(axes.controls),
        "seeds": list(axes.seeds),
        "normalisation": normalisation,
        "fit": axes.fit.model_dump(mode="json"),
        **({"second": second.fingerprint} if second is not None else {}),
        **({"samples": list(samples)} if samples else {}),
        **({"other seeds": {top: network.name for top, network in others.items()}} if others else {}),
    }
    return _Prepared(networks, axes, losses, spec)


def _seam(at: str | tuple[str, str]) -> Seam:
    if isinstance(at, str):
        return parse(at)
    if not isinstance(at, tuple | list) or len(at) != 2 or not all(isinstance(layer, str) for layer in at):
        raise StitchError(
            f"The seam {at!r} cannot be read: expected a layer of the bottom and one of the top, such as ('layer2', 'layer2'); "
            "'layer2' alone stands for both."
        )
    return Seam("", at[0], "", at[1])


def _layers(layers: str | Sequence[str | tuple[str, str]]) -> str | tuple[str, ...]:
    """The word "matching" or "all", or written seams."""
    if layers in (LAYERS, "all"):
        return str(layers)
    each = [layers] if isinstance(layers, str) else layers
    return tuple(at if isinstance(at, str) else str(_seam(at)) for at in each)


def _numbers(fit: dict[str, Any]) -> tuple[int, ...]:
    """Take several numbers of fit examples out of the fit options; none where there is one number or none."""
    value = fit.get("samples")
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    numbers = [fit_spec({**fit, "samples": n}).samples for n in value]
    if not numbers or len(set(numbers)) < len(numbers):
        raise StitchError(f"The curve of fit examples samples={list(value)} needs distinct numbers, one at least.")
    del fit["samples"]
    return tuple(n for n in numbers if n is not None)


def _objectives(value: Goal | Sequence[Goal]) -> tuple[tuple[str, ...], dict[str, Loss]]:
    """The names of objectives, and the user's own losses among them; a tuple inside a sequence is stages of one."""
    several = [value] if isinstance(value, str) or callable(value) else list(value)
    staged = [goal if isinstance(goal, tuple) else (goal,) for goal in several]
    if not all(staged):
        raise StitchError(
            "An objective of no stages was given: expected a name such as 'task', a function, or a tuple of these."
        )
    own = {name_of(o): o for stages in staged for o in stages if not isinstance(o, str)}
    names = tuple(_named(stages) for stages in staged)
    return names, {name: checked(name, loss) for name, loss in own.items()}


def _named(stages: Sequence[str | OwnLoss]) -> str:
    """An objective as records call it; where functions are among the stages, their names stand as they are."""
    if all(isinstance(stage, str) for stage in stages):
        return written_objective("+".join(str(stage) for stage in stages))
    return "+".join(written_objective(stage) if isinstance(stage, str) else name_of(stage) for stage in stages)


def _several(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str | type) else tuple(value)  # a class is refused where it is read
