"""How figures were made, and what it took, in words from their records. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from ..study import Record
from . import values
from .catalogue import study_file
from .curves import Curves
from .figure import Figure
from .protocols import PROTOCOLS


def scale_words(records: Sequence[Record]) -> list[str]:
    """As the records say: the scale of that name may be another one by now."""
    tags = records[0].tags
    ran = tags.get("ran", "as it was before records said so; run the figure again to see")
    other = tags.get("other")
    if other:
        return [f"Scale `{tags['scale']}`, on other data than its own: {other}. On its own data the scale is: {ran}."]
    return [f"Scale `{tags['scale']}`: {ran}."]


def how_made(figure: Figure, records: Sequence[Record]) -> list[str]:
    """The last part of a page: command, scale, fits, data, devices, versions, dates, seeds."""
    tags = records[0].tags
    fits = [f"{p.capitalize()} protocol: {fit}." for p in _protocols(records) if (fit := fit_words(records, p))]
    study = "paper/own.py" if tags.get("own") else study_file(figure.name)
    return [
        "## How it was made",
        "",
        "```bash",
        _command(figure, records),
        "```",
        "",
        *scale_words(records),
        "",
        *([f"Fits here. {' '.join(fits)}", ""] if fits else []),
        f"{_data_and_time(records)} Seeds of networks: {', '.join(sorted({str(s) for s in _seeds(records)}))}; of "
        f"stitchers: 0. The paper's values are {values.SOURCE}.",
        "",
        f"Study file: `src/modelstitch/{study}`. Records: `{figure.name}.parquet`.",
    ]


def _protocols(records: Sequence[Record]) -> list[str]:
    return [p for p in PROTOCOLS if any(r.tags["protocol"] == p for r in records)]


def _command(figure: Figure, records: Sequence[Record]) -> str:
    tags, protocols = records[0].tags, _protocols(records)
    usual = "" if tags["scale"] == "smoke" or tags.get("command") else "parquet:DIR"
    named = tags.get("given") or usual
    given = f" --data {named}" if named else ""
    only = f" --protocol {protocols[0]}" if len(protocols) == 1 else ""
    return f"modelstitch paper {figure.name} {tags.get('command') or '--scale ' + tags['scale']}{given}{only}"


def _data_and_time(records: Sequence[Record]) -> str:
    """What was measured on, how long it took, on what, when."""
    made = [r.provenance for r in records]
    data = next(r.data for r in records if r.control == "donor")
    dates = sorted({p["date"] for p in made})
    cells = {r.provenance.get("probe", r.cell): r.seconds for r in records}
    devices = ", ".join(sorted({f"{p['device']}, {p['threads']} threads" for p in made}))
    versions = sorted({f"modelstitch {p['modelstitch']}, torch {p['torch']}" for p in made})
    stitched = len({r.cell for r in records if r.tags["protocol"]})
    return (
        f"Data: {data['name']}, {data['fit']} fit, {data['val']} validation, {data['test']} test samples "
        f"({data['splits']}). {stitched} stitches, {sum(cells.values()):.0f} s of fitting and measuring, training not "
        f"counted. {devices}; {', '.join(versions)}; {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    )


def fit_words(records: Sequence[Record], protocol: str) -> str:
    """Steps and rate of a protocol's fits, as its records say; empty where it fitted nothing in steps."""
    told: dict[str, None] = {}
    for record in records:
        fit = record.fit
        if record.tags["protocol"] == protocol and fit and record.objective not in (None, "none", "match"):
            text = f"{fit['steps']:,} steps of {fit['batch_size']} samples at rate {fit['learning_rate']:g}"
            muon = fit.get("optimizer") == "muon"
            adapted = "more where the start is far from" if muon else "less where the start is near"
            text += f", {adapted} the top's own error" if fit.get("adapt_rate") else ""
            told[text if fit.get("augment", True) else f"{text}, on samples that are not augmented"] = None
            if starts := record.config.get("starts"):
                told[f"of class-noise the best of up to {starts} starts, by validation error"] = None
    return "; ".join(told)


def took(records: Sequence[Record]) -> str:
    """Hours of all figures together; what several of them share counts once.

    A network trained once can stand in several records: changed, or at an earlier checkpoint. Its seconds, kept to the
    hundredth, are the same in all of them, and tell it from the others of its architecture.
    """
    trained: set[tuple[str, float]] = set()
    stitched: dict[str, dict[str, float]] = {name: {} for name in PROTOCOLS}
    probed: dict[str, float] = {}
    for record in records:
        made, protocol = record.provenance, record.tags["protocol"]
        if made.get("trained_seconds"):
            trained.add((made["net"], made["trained_seconds"]))
        elif protocol:
            stitched[protocol][record.cell] = record.seconds
        elif made.get("probe"):
            probed[made["probe"]] = made["seconds"]
    parts = [f"{hours(sum(seconds for _, seconds in trained))} of training ({len(trained)} runs)"] + [
        f"{hours(sum(cells.values()))} of fitting and measuring {len(cells):,} stitches by the {name} protocol"
        for name, cells in stitched.items()
        if cells
    ]
    if probed:
        parts.append(
            f"{hours(sum(probed.values()))} of what stands beside stitching (CKA, fine-tuning, freeze-training, paths)"
        )
    devices = ", ".join(
        sorted(
            {
                f"{p['device']}, {p['threads']} thread{'s' * (p['threads'] != 1)}"
                for p in (r.provenance for r in records)
            }
        )
    )
    return (
        f"{'; '.join(parts)}. Added up over processes, on {devices}: where several ran at once the clock showed less."
    )


def hours(seconds: float) -> str:
    """In hours, in minutes below one, in seconds below two minutes."""
    if seconds < 120:
        return f"{seconds:.0f} second{'s' * (round(seconds) != 1)}"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


def _seeds(records: Sequence[Record]) -> set[int]:
    names = Curves(records, "").donors()
    return {int(name.rpartition("seed ")[2].split(",")[0]) for name in names if "seed " in name}
