"""The questions that are fitted: stitch one seam, compare networks, say what a comparison will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from .data.data import Data
from .engine.alone import introduce, need_scores
from .engine.fit.options import FitOptions, FitSpec
from .engine.sweep import MEMORY
from .errors import FitError, StitchError, StudyError
from .network import Network, apart, check_networks
from .notation import Seam, parse
from .results import Results
from .stitched.stitched import Stitched
from .stitchers import FAMILIES, family_of
from .study.keywords import CompareOptions, MatrixOptions, StitchOptions, explained
from .study.needs import Needs
from .study.prepared import compared, prepared
from .study.run import announce, hearing, plan_run, run
from .study.store import Store
from .study.sweeps.fitted import run_sweeps
from .study.sweeps.grouped import Reading, check_shared
from .support.kinds import as_found, fits, kinds
from .support.memory import available_bytes
from .support.mistakes import unknown
from .support.progress import OnEvent, Tell
from .support.ranks import writes


@explained(StitchOptions)
@kinds("bottom", "top", "at", "data", "device", settled=True)
def stitch(
    bottom: Network,
    top: Network,
    at: str | tuple[str, str],
    data: Data,
    *,
    device: str = "auto",
    tell: Tell | None = None,
    on_event: OnEvent | None = None,
    tensorboard: str | Path | None = None,
    memory: float | None = None,
    **question: Unpack[StitchOptions],
) -> Stitched:
    """Fit one stitch and measure it on the test split.

    Args:
        bottom: the network whose lower layers are used; it is not changed.
        top: the network whose upper layers are used; it is not changed.
        at: the seam: "layer2" (in both networks), "layer2 -> blocks.4", or a pair of layers.
        data: the data to fit, choose and measure on.
        **question: what is asked.
        device: "cpu", "cuda" or "auto".
        tell: a function that is called with progress: (what, done, of how many); see ``modelstitch.progress``.
        on_event: a function of one ``modelstitch.study.Event`` that hears of progress, of every look at the validation
            split, and of the finished stitch with its metrics: a hook for W&B, MLflow and others.
        tensorboard: a folder for the curves of the fit (extra ``tensorboard``).
        memory: gigabytes for stitches beside the donors and one batch's way through the top, 2 by default; it sets how
            many stitches run at a time.

    An objective may also be a function (stitched, genuine, labels) -> loss. The first two are dicts of activations:
    "output", and the layers that ``downstream=`` names. A tuple of objectives is fitted one after the other.

    Returns:
        The stitched model, with ``penalty``, ``interval`` (in the task's unit: points) and ``metrics``.

    Raises:
        StitchError: something cannot be used; one sentence says what was expected, what was found and what to try.

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
    asked = prepared(StitchOptions, list(dict.fromkeys((below, above))), data, {**question}, seam=[at])
    need_scores(above, data)
    seam = parse(asked.question.layers[0])
    for layer, network in ((seam.bottom_layer, below), (seam.top_layer, above)):
        if (fitting := network.matched([layer])) != [layer]:
            raise StudyError(
                f"One stitch has one seam: expected a layer, found the pattern {layer!r}, which stands for "
                f"{', '.join(fitting[:4])}{', ...' if fitting[4:] else ''}; compare takes patterns."
            )
    cut = str(Seam("", below.cut(seam.bottom_layer), "", above.cut(seam.top_layer)))
    asked = replace(asked, question=asked.question.model_copy(update={"layers": (cut,)}))
    _, cells = asked.planned()
    check_shared(cells)
    with hearing(on_event, tensorboard, tell) as heard:
        bench = asked.bench(device, memory, heard.watch)
        announce(cells, bench, heard.tell)
        introduce(bench.all_donors(cells), heard.tell, asked.question.expected_error, asked.question.error_tolerance)
        (fitted,) = run_sweeps(Reading([cells]), bench, tell=heard.tell)
        heard.finished(fitted.record)
    stream = fitted.stream
    if stream.failed:
        raise FitError(stream.failed)
    assert stream.stitcher is not None
    return Stitched(
        below,
        above,
        stream.bottom_layer,
        stream.top_layer,
        stream.stitcher,
        family=asked.question.families[0],
        record=fitted.record,
        statistics=fitted.statistics,
        mask=data.mask,
    )


@explained(CompareOptions)
@kinds("bottom", "top", "data", "out", "device", settled=True)
def compare(
    bottom: Network | Sequence[Network],
    top: Network | None = None,
    data: Data | None = None,
    *,
    out: str | Path | Store | None = None,
    kept: str | Path | None = None,
    activations: str | Path | None = None,
    device: str = "auto",
    tell: Tell | None = None,
    on_event: OnEvent | None = None,
    tensorboard: str | Path | None = None,
    memory: float | None = None,
    **question: Unpack[CompareOptions],
) -> Results:
    """Stitch two or more networks at all matching layers, in both directions, with controls.

    Args:
        bottom: a network; or a list of networks, and no top. None is changed.
        top: the other network.
        data: the data to fit, choose and measure on.
        **question: what is asked.
        out: a folder that keeps finished cells, so that the same call again does only what is missing; or a
            ``modelstitch.study.Store``, whose cells any number of comparisons share.
        kept: a folder that keeps the sums of closed forms; other families between the same layers then need no pass.
        activations: a folder that keeps what the networks give at these layers, in shards with ids: each sample runs
            once, in however many parts the memory budget takes the stitches, and a run that was stopped goes on. The
            data must not be augmented.
        device: as for ``stitch``.
        tell: as for ``stitch``.
        on_event: as for ``stitch``; cells that the folder holds already are no events.
        tensorboard: as for ``stitch``.
        memory: as for ``stitch``.

    Objectives may be functions, as for ``stitch``; a tuple inside a list is one objective of several stages.
    Controls that pairs have in common are fitted once.

    Returns:
        Results: one record for each stitch and control, as a frame, figures and a page.

    Raises:
        StitchError: as ``stitch``; StudyError if ``out`` was made by another comparison.

    Examples:
        >>> r = ms.compare(bottom, top, data=data, layers="block2", objective="match", controls=("self", "random"))
        >>> r.pairs
        [('bottom', 'top'), ('top', 'bottom')]
        >>> sorted(set(r.frame["control"]))
        ['pair', 'random', 'self']
        >>> r = ms.compare([bottom, top], data=data, pairs="all", layers="block1", objective="match", controls=())
        >>> shared = ms.study.Store("runs/digits", {"what": "all that is asked of these networks"})
        >>> for pair in ((bottom, top), (top, top)):  # the self control of the top is fitted once
        ...     asked = dict(layers="block1", objective="match", controls="self", both=False)
        ...     r = ms.compare(*pair, data=data, **asked, out=shared)
    """
    asked = compared(bottom, top, data, {**question})
    plain = asked.plain()
    left_out: list[str] = []
    shared = isinstance(out, Store)
    whole = not isinstance(out, Store) or bool(out.part)
    store = None if out is None or not writes() else out if isinstance(out, Store) else Store(out, plain)
    begun = store.begun() if store is not None and not shared else nullcontext()
    with hearing(on_event, tensorboard, tell) as heard, begun:
        records = run(
            asked,
            store=store,
            whole=whole,
            device=device,
            tell=heard.tell,
            watch=heard.watch,
            finished=heard.finished,
            memory=memory,
            sums=None if kept is None else Path(kept),
            activations=activations,
            left_out=left_out,
        )
    return Results(records, plain, cautions=left_out)


def compare_many(networks: Sequence[Network], pairs: Sequence[tuple[str, str]], data: Data, **question: Any) -> Results:
    """Compare several networks: the former name of ``compare`` with a list, kept for scripts."""
    return compare(list(networks), data=data, pairs=list(pairs), **question)


@explained(CompareOptions)
@kinds("bottom", "top", "data", "out", "device", settled=True)
def plan_compare(
    bottom: Network | Sequence[Network],
    top: Network | None = None,
    data: Data | None = None,
    *,
    out: str | Path | Store | None = None,
    device: str = "auto",
    memory: float | None = None,
    timed: bool = True,
    **question: Unpack[CompareOptions],
) -> Needs:
    """Say what ``compare`` with these arguments would take; fit nothing and make no folder.

    Args:
        bottom: as for ``compare``.
        top: as for ``compare``.
        data: as for ``compare``.
        device: as for ``compare``.
        memory: as for ``compare``.
        **question: what is asked.
        out: cells that this folder holds are counted as kept.
        timed: measure batches, for an estimate in seconds.

    Returns:
        Counts, bytes and seconds; ``sentences()`` says them in words.

    Raises:
        StitchError: as ``compare`` before it fits anything.
    """
    asked = compared(bottom, top, data, {**question})
    store = out if isinstance(out, Store) or out is None else Store.beheld(out, asked.plain())
    return plan_run(asked, store=store, device=device, memory=memory, timed=timed)


@explained(MatrixOptions)
@kinds("bottom", "top", "data", "layers", "out", "device", settled=True)
def matrix(
    bottom: Network,
    top: Network,
    data: Data,
    *,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
    out: str | Path | None = None,
    kept: str | Path | None = None,
    activations: str | Path | None = None,
    device: str = "auto",
    tell: Tell | None = None,
    memory: float | None = None,
    **question: Unpack[MatrixOptions],
) -> Results:
    """Stitch every bottom layer to every top layer in closed form.

    This is ``compare`` with all layers, the objective ``match``, one direction and no controls. One pass over the fit
    samples gives the sums of all pairs, and stitches run through the rest of the top side by side. A family that has no
    map between two layers, such as one that needs equal channels, is left out there, and ``cautions`` says so.

    Args:
        bottom: the network whose lower layers are used; it is not changed.
        top: the network whose upper layers are used; it is not changed.
        data: the data to fit and measure on.
        layers: (bottom's, top's) exact cuts; the block cuts of both by default.
        **question: what is asked.
        out: as for ``compare``.
        kept: a folder that keeps the sums: an interrupted call goes on from them, and a call for other families needs
            no pass.
        activations: as for ``compare``.
        device: as for ``compare``.
        tell: as for ``compare``.
        memory: gigabytes for sums and maps; half of what is free by default.

    Returns:
        Results: one record for each pair of layers and family.

    Raises:
        StitchError: as ``stitch``.

    Examples:
        >>> m = ms.matrix(bottom, top, data, layers=(["block1"], ["block1", "block2"]))
        >>> m.frame.filter(metric="penalty").height
        2
    """
    asked = _closed(question)
    check_networks(bottom=bottom, top=top)
    lower, upper = apart(bottom, top)
    bottoms, tops = _both_sides(lower, upper, layers)
    if not (asked["family"] and bottoms and tops):
        raise StitchError("A matrix needs at least one family, one bottom layer and one top layer.")
    if memory is None:
        memory = max(MEMORY, (available_bytes() or 0) / 2) / 1e9
    asked |= {"layers": [(b, t) for b in bottoms for t in tops], "objective": "match", "controls": (), "both": False}
    machine: dict[str, Any] = {"device": device, "tell": tell, "memory": memory}
    found = compare(lower, upper, data, out=out, kept=kept, activations=activations, **machine, **asked)
    used, widest = found.records[0].samples or 0, max(lower.layer(name).channels for name in bottoms)
    if used <= widest:
        found.cautions.append(
            f"{used:,} fit examples for up to {widest:,} channels: a map may follow these examples alone where a layer "
            "has few positions; use more."
        )
    return found


def _closed(question: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a matrix as those of a comparison.

    Raises:
        StitchError: one is unknown or belongs to fits, or a family is no closed form.
    """
    known = list(MatrixOptions.__annotations__)
    for name in question:
        if name in FitOptions.__annotations__ and name not in known:
            solved = [option for option in known if option in FitSpec.model_fields]
            raise StitchError(
                f"The fit option {name!r} changes nothing in a matrix, whose maps are solved in closed form: expected "
                f"{', '.join(solved[:-1])} or {solved[-1]}; leave it out, or fit with compare(..., layers='all')."
            )
        if name not in known:
            raise StitchError(unknown(name, known))
    families = _families(question.get("family", "affine"))
    for text in families:
        if not family_of(text)[0].closed:
            closed = ", ".join(name for name, cls in FAMILIES.items() if cls.closed)
            raise StitchError(
                f"The family {text!r} is started in closed form and then fitted, and a matrix is not fitted: expected "
                f"one of {closed}; fit it with compare(..., layers='all')."
            )
    seeds = (question["seed"],) if "seed" in question else (0,)
    return {name: value for name, value in question.items() if name != "seed"} | {"family": families, "seeds": seeds}


def _families(given: Any) -> tuple[str, ...]:
    """One family, or several."""
    if not fits(given, str | Sequence[str]):
        raise StitchError(f"A matrix has no such family: expected text or a list of texts, found {as_found(given)}.")
    return (given,) if isinstance(given, str) else tuple(given)


def _both_sides(
    bottom: Network, top: Network, layers: tuple[Sequence[str], Sequence[str]] | None
) -> tuple[list[str], list[str]]:
    """The exact cuts of a matrix, in the order of the networks."""
    if layers is not None and not fits(layers, tuple[Sequence[str], Sequence[str]]):
        raise StitchError(f"The layers must be two lists, the bottom's and the top's, found {layers!r}.")
    found = []
    for side, network in enumerate((bottom, top)):
        if layers is None and not network.blocks:
            raise StitchError(
                f"No layer of {network.name!r} can be cut before its output ({network.why_none}): expected one at "
                "least; give layers=, see Network.layers."
            )
        chosen = network.blocks if layers is None else network.matched(layers[side])
        found.append(sorted({network.cut(name) for name in chosen}, key=network.cuts.index))
    return found[0], found[1]
