"""The questions that are fitted: stitch one seam, compare networks, say what a comparison will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack
from warnings import warn

from .data.data import Data, check_data
from .engine.alone import introduce
from .engine.entry import check_entry
from .engine.fit.objectives import Loss
from .engine.fit.own_loss import checked, name_of
from .engine.fit.tensorboard import watching
from .engine.scores import need_scores
from .errors import FitError, StitchError, StudyError
from .network import Network, apart, check_networks
from .notation import Seam, parse
from .results import Results
from .stitched.stitched import Stitched
from .stitchers import own_codes
from .study.keywords import CompareOptions, StitchOptions, explained, read
from .study.needs import Needs
from .study.plan import plan
from .study.question import Comparison
from .study.run import budget, data_config, describe_donor, plan_run, run
from .study.store import Store
from .study.sweep import Bench, check_shared, run_sweep
from .support.ambient import in_settled
from .support.device import pick_device
from .support.progress import Tell
from .support.ranks import writes


@explained(StitchOptions)
@in_settled
def stitch(
    bottom: Network, top: Network, at: str | tuple[str, str], data: Data, *, device: str = "auto", tell: Tell | None = None,
    tensorboard: str | Path | None = None, memory: float | None = None, **question: Unpack[StitchOptions],
) -> Stitched:  # fmt: skip
    """Fit one stitch and measure it on the test split.

    Args:
        bottom: the donor below; it is not changed.
        top: the donor above, likewise.
        at: the seam: "layer2" (both sides), "layer2 -> blocks.4", or a pair of layers.
        data: what to fit, choose and measure on.
        **question: what is asked.
        device: "cpu", "cuda" or "auto".
        tell: hears of progress: (what, done, of how many).
        tensorboard: a folder for the curves of the fit (extra ``tensorboard``).
        memory: gigabytes that stitches may hold beside the donors and one batch's way through the top, 2 by default; it sets
            how many run at a time.

    The objective may also be a function (stitched, genuine, labels) -> loss, both dicts with "output" and the layers named by
    ``downstream=``; a tuple of objectives is fitted one after the other.

    Returns:
        The stitched model, with ``penalty``, ``interval`` (points, or nats per token) and ``metrics``.

    Raises:
        StitchError: one sentence that names what was expected, what was found and what to try.

    Examples:
        >>> s = ms.stitch(bottom, top, at="block2", data=data, objective="match")
        >>> s.interval[0] <= s.penalty <= s.interval[1]
        True
    """
    check_networks(bottom=bottom, top=top)
    below, above = apart(bottom, top)
    for name in ("family", "seed", "samples"):
        if isinstance(given := question.get(name), list | tuple | range):
            raise StudyError(
                f"One stitch has one {name}: expected one as {name}=..., found {given!r}; compare takes several."
            )
    if isinstance(at, str):
        seam = parse(at)
        at = seam.bottom_layer, seam.top_layer
    asked = _asked(StitchOptions, list(dict.fromkeys((below, above))), data, {**question}, seam=[at])
    check_entry((below, above), data, second=asked.second)
    need_scores(above, data)
    seam = parse(asked.question.layers[0])
    cut = str(Seam("", below.cut(seam.bottom_layer), "", above.cut(seam.top_layer)))
    asked_at = asked.question.model_copy(update={"layers": (cut,)})
    donors = describe_donor(below), describe_donor(above)
    cells = plan([donors], asked_at, data_config(data, asked.second), codes=dict(own_codes(asked_at.families)))
    check_shared(cells)
    with watching(tensorboard) as watch:
        named = {network.name: network for network in asked.networks}
        bench = Bench(named, data, asked_at.fit, pick_device(device), budget(memory), watch, asked.second, asked.losses)
        introduce(bench.all_donors(cells), tell, asked_at.expected_error, asked_at.error_tolerance)
        (fitted,) = run_sweep(cells, bench, tell=tell)
    stream = fitted.stream
    if stream.failed:
        raise FitError(stream.failed)
    assert stream.stitcher is not None
    return Stitched(
        below, above, stream.bottom_layer, stream.top_layer, stream.stitcher, family=asked_at.families[0], record=fitted.record,
        statistics=fitted.statistics, mask=data.mask,
    )  # fmt: skip


@explained(CompareOptions)
@in_settled
def compare(
    bottom: Network | Sequence[Network], top: Network | None = None, data: Data | None = None, *, out: str | Path | Store | None = None,
    device: str = "auto", tell: Tell | None = None, tensorboard: str | Path | None = None, memory: float | None = None,
    **question: Unpack[CompareOptions],
) -> Results:  # fmt: skip
    """Stitch two networks, or any number, at all matching layers, in both directions, with the controls.

    Args:
        bottom: a network; or, in place of both, a list of networks. None is changed.
        top: the other network.
        data: what to fit, choose and measure on.
        **question: what is asked.
        out: a folder that keeps finished cells; the same call again does only what is missing. Or an open
            :class:`modelstitch.study.Store`, whose cells any number of comparisons share.
        device: as for :func:`stitch`.
        tell: as for :func:`stitch`.
        tensorboard: as for :func:`stitch`.
        memory: as for :func:`stitch`.

    Objectives may be functions, as for :func:`stitch`; a tuple inside a list is one objective of several stages. Controls that
    pairs have in common are fitted once.

    Returns:
        One record for each stitch and control, as a frame, figures and a page.

    Raises:
        StitchError: as :func:`stitch`; StudyError if ``out`` was made by another comparison.

    Examples:
        >>> r = ms.compare(bottom, top, data=data, layers="block2", objective="match", controls=("self", "random"))
        >>> r.pairs
        [('bottom', 'top'), ('top', 'bottom')]
        >>> sorted(set(r.frame["control"]))
        ['pair', 'random', 'self']
        >>> r = ms.compare([bottom, top], data=data, pairs="all", layers="block1", objective="match", controls=())
    """
    asked = _compared(bottom, top, data, {**question})
    plain = _plain(asked)
    shared = isinstance(out, Store)
    whole = not isinstance(out, Store) or bool(out.part)
    store = None if out is None or not writes() else out if isinstance(out, Store) else Store(out, plain)
    with watching(tensorboard) as watch, store.begun() if store is not None and not shared else nullcontext():
        records = run(
            asked.networks, asked.question.ordered_pairs(), asked.data, asked.question, store=store, whole=whole, device=device,
            tell=tell, watch=watch, memory=memory, second=asked.second, losses=asked.losses,
        )  # fmt: skip
    return Results(records, plain)


@explained(CompareOptions)
@in_settled
def plan_compare(
    bottom: Network | Sequence[Network], top: Network | None = None, data: Data | None = None, *, out: str | Path | Store | None = None,
    device: str = "auto", memory: float | None = None, timed: bool = True, **question: Unpack[CompareOptions],
) -> Needs:  # fmt: skip
    """Say what :func:`compare` with these arguments will take; nothing is fitted, and no folder made.

    Args:
        bottom: as for :func:`compare`.
        top: as for :func:`compare`.
        data: as for :func:`compare`.
        device: as for :func:`compare`.
        memory: as for :func:`compare`.
        **question: what is asked.
        out: cells that this folder holds are counted as kept.
        timed: measure batches, for an estimate in seconds.

    Returns:
        Counts, bytes and seconds; ``sentences()`` says them in words.

    Raises:
        StitchError: as :func:`compare` before it fits anything.
    """
    asked = _compared(bottom, top, data, {**question})
    store = out if isinstance(out, Store) or out is None else Store.beheld(out, _plain(asked))
    return plan_run(
        asked.networks, asked.question.ordered_pairs(), asked.data, asked.question, store=store, device=device, memory=memory,
        second=asked.second, timed=timed,
    )  # fmt: skip


def compare_many(
    networks: Sequence[Network], pairs: Sequence[tuple[str, str]], data: Data, **question: Any
) -> Results:  # fmt: skip
    """Compare several networks: the former name of :func:`compare` with a list, kept for scripts."""
    warn(
        "compare_many is compare with a list now: compare([a, b], data=data, pairs=[...]).",
        DeprecationWarning,
        stacklevel=2,
    )
    return compare(list(networks), data=data, pairs=list(pairs), **question)


@dataclass(frozen=True)
class _Prepared:
    """A question that was read and checked, and the things that it names: networks (other seeds too), data, own losses."""

    question: Comparison
    networks: list[Network]
    data: Data
    second: Data | None
    losses: dict[str, Loss]


def _compared(
    bottom: Network | Sequence[Network], top: Network | None, data: Data | None, asked: dict[str, Any]
) -> _Prepared:
    if isinstance(bottom, Sequence):
        if top is not None or not bottom:
            raise StitchError(
                "Several networks are given in one list, and the data by name: expected compare([a, b, c], data=data)."
            )
        networks = list(bottom)
    else:
        check_networks(bottom=bottom, top=top)
        networks = list(dict.fromkeys(apart(bottom, top)))  # type: ignore[arg-type]
    if len(networks) == 1:  # beside itself
        asked.setdefault("pairs", [(networks[0].name, networks[0].name)] if isinstance(networks[0], Network) else ())
    found = _asked(CompareOptions, networks, data, asked)
    check_entry(found.networks, found.data, second=found.second)  # before random data are taken for another study's
    return found


def _asked(
    options: type, networks: list[Network], data: Data | None, values: dict[str, Any], *, seam: Sequence[Any] = ()
) -> _Prepared:
    """Read keywords; networks, data and functions among them go by their names, fingerprints and hashes."""
    check_data(data)
    assert data is not None
    others: dict[str, Network] = dict(values.get("other_seeds") or {})
    for network in networks:
        check_networks(network=network)
    for network in others.values():
        check_networks(**{"other seed": network})
    if (second := values.get("second")) is not None:
        check_data(second)
        values["second"] = second.fingerprint
    if others:
        values["other_seeds"] = {top: network.name for top, network in others.items()}
    losses: dict[str, Loss] = {}
    if "objective" in values:
        values["objective"] = _named(values["objective"], losses)
    question = read(options, values, [network.name for network in networks], losses, seam=seam)
    question = question.for_labels(sequences=data.labels("val").ndim > 1)
    networks = [*networks, *(network for network in others.values() if network not in networks)]
    return _Prepared(question, networks, data, second, losses)


def _named(goal: Any, losses: dict[str, Loss]) -> Any:
    """An objective, or several, with the user's own losses by their names."""
    if isinstance(goal, str):
        return goal
    if isinstance(goal, list | tuple):
        return [_named(part, losses) for part in goal]
    name = name_of(goal)
    losses[name] = checked(name, goal)
    return name


def _plain(asked: _Prepared) -> dict[str, Any]:
    """What the folder of a comparison is named by, as plain values."""
    question = asked.question
    found: Mapping[str, Any] = question.identity()
    codes = dict(own_codes(question.families))
    unsaid = {"networks", "both", "other_seeds", *(() if question.samples else ("samples",))}
    return {
        **{key: value for key, value in found.items() if key not in unsaid},
        "donors": {network.name: network.fingerprint() for network in asked.networks},
        "pairs": [list(pair) for pair in question.ordered_pairs()],
        "data": asked.data.fingerprint,
        **({"family codes": codes} if codes else {}),
        **({"other seeds": question.other_seeds} if question.other_seeds else {}),
    }
