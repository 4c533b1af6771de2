"""A declared study: donors loaded by name, then planned and run like any comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StudyError
from ..network import Network
from ..sources.data import Data
from ..sources.models import load_for
from ..sources.named import load_data
from .plan import Axes, default_controls
from .run import describe_donor, run
from .spec import StudySpec
from .store import Store
from .sweep import Tell

if TYPE_CHECKING:
    from .canonical import Record


def run_study(
    spec: StudySpec, out: str | Path, *, device: str = "auto", tell: Tell | None = None
) -> tuple[list[Record], dict[str, Any]]:
    """Run what is missing of a study, keep every finished cell in ``out``; return all records and the plain spec.

    Raises:
        StudyError: if ``out`` holds another study or cannot be written, or the engine is another than "local".
        SourceError, DataError: if a donor or the data cannot be loaded.
    """
    if spec.engine != "local":
        raise StudyError(
            f"The engine {spec.engine!r} is not built yet: expected 'local'; leave engine out of the study."
        )
    store = Store(out, spec)  # first of all: a folder that cannot be used should not cost a training run
    models = [str(ref.model) for ref in spec.donors.values() if str(ref.model).startswith("hf:")]
    data = load_data(spec.data, tokenizer=models[0] if models else None)
    second = load_data(spec.second, tokenizer=models[0] if models else None) if spec.second else None
    pairs = spec.ordered_pairs()
    tops = dict.fromkeys(top for _, top in pairs)
    others = {top: other for top, other in spec.other_seeds.items() if top in tops}
    names = dict.fromkeys([*(name for pair in pairs for name in pair), *others.values()])
    networks = {name: _donor(spec, name, data) for name in names}
    usual = default_controls(sequences=data.labels("val").ndim > 1)
    controls: tuple[str, ...] = tuple(usual) if spec.controls is None else spec.controls
    controls = tuple(c for c in controls if c != "other-seed") + (("other-seed",) if others else ())
    axes = Axes(
        spec.layers, spec.families, spec.objectives, controls, spec.seeds, spec.fit, spec.normalisation, spec.samples,
        tuple((top, describe_donor(networks[other])) for top, other in others.items()),
    )  # fmt: skip
    records = run(list(networks.values()), pairs, data, axes, store=store, device=device, tell=tell, second=second)
    return records, store.spec


def _donor(spec: StudySpec, name: str, data: Data) -> Network:
    ref = spec.donors[name]
    model = ref.model if ref.model is not None else f"file:{ref.folder}"
    return load_for(data, model, weights=ref.weights, name=name)
