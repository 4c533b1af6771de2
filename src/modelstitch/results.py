"""Results: the one answer to every question, and the ways to look at it. Neither networks nor torch are needed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import StitchError, StudyError
from .records.record import Record, as_records
from .support.kinds import kinds
from .support.shown import visible
from .support.words import among

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

    from .data.data import Data
    from .data.shown import Shown
    from .network import Network
    from .report.family import NetworkFamily
    from .report.front import Front
    from .report.trajectory import Trajectory

FIGURES = ("penalty", "matrix", "ladder", "samples", "family", "separation", "breaks", "classes", "difficulty")
TABLES = (".parquet", ".csv", ".json")
_FEW = 6  # pairs that are named one by one


def open(path: str | Path) -> Results:
    """Open the results of a study: its folder, or a table that was saved.

    Args:
        path: a folder with ``study.json``, or a ``.parquet`` file that ``Results.save`` wrote.

    Returns:
        The results, as ``modelstitch.compare`` or ``modelstitch.similarity`` gave them. Stale cells and damaged records
        are left out, and ``cautions`` says so; ``missing`` names what is not finished.

    Raises:
        StudyError: there is no study, or it cannot be read.

    Examples:
        >>> made = ms.compare(bottom, top, data=data, layers="block2", objective="match", controls=(), out="runs/ab")
        >>> ms.open("runs/ab").frame.equals(made.frame)
        True
    """
    from .support.files import as_path

    place = as_path(path, "answer to open")
    if place.is_dir():
        from .study.store import Store

        held = Store(place).look()
        return Results(held.records, held.spec, missing=held.missing, cautions=held.cautions)
    if place.suffix != ".parquet":
        raise StudyError(
            f"{place} is no study: expected a folder with study.json, or a .parquet file that was exported from one."
        )
    from .records.parquet import read_table, records_of
    from .report.similarities import from_table, is_similarities

    table = read_table(place)
    if is_similarities(table):
        rows, spec = from_table(table, place)
        return Results((), spec, similarities=rows)
    records = records_of(table, place)
    return Results(records, {"pairs": [list(pair) for pair in _pairs(records)]})


class Results:
    """Hold the answer to a question: records of stitches, or similarities of layers.

    Attributes:
        records: one ``modelstitch.records.record.Record`` for each stitch and control; empty for similarities.
        spec: what was asked.
        missing: cells that were asked for and are not finished.
        cautions: sentences that a reader of the numbers needs to know.
        similarities: one row for each measure and pair of layers; empty for stitches.

    Examples:
        >>> penalties = r.frame.filter(r.frame["metric"] == "penalty")
        >>> len(penalties) == len(r.records)
        True
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]],
        spec: Mapping[str, Any],
        *,
        missing: Sequence[str] = (),
        cautions: Sequence[str] = (),
        similarities: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.records = as_records(records)
        self.spec = dict(spec)
        self.missing = list(missing)
        self.cautions = list(cautions)
        self.similarities = [dict(row) for row in similarities]

    def __repr__(self) -> str:
        pairs = ", ".join(f"{bottom} -> {top}" for bottom, top in self.pairs)
        if len(self.pairs) > _FEW:
            pairs = f"{len({name for pair in self.pairs for name in pair})} networks, {len(self.pairs)} pairs"
        if self.similarities:
            measures = ", ".join(dict.fromkeys(row["measure"] for row in self.similarities))
            ends = [[(row[side], row[f"{side}_layer"]) for row in self.similarities] for side in ("bottom", "top")]
            if len(self.pairs) > 1:
                return visible(f"Results({pairs}: {measures} of {len({*ends[0], *ends[1]})} layers)")
            layers = [len(set(end)) for end in ends]
            return visible(f"Results({pairs}: {measures} of {layers[0]} x {layers[1]} layers)")
        stitched = sum(record.control == "pair" for record in self.records)
        failed = f", {len(self.failed)} failed" if self.failed else ""
        missing = f", {len(self.missing)} missing" if self.missing else ""
        return visible(
            f"Results({pairs}: {stitched} stitches, {len(self.records) - stitched} controls{failed}{missing})"
        )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The (bottom, top) pairs that were asked for, by name."""
        asked = self.spec.get("pairs")
        return [(str(b), str(t)) for b, t in asked] if isinstance(asked, list | tuple) else _pairs(self.records)

    @property
    def frame(self) -> pl.DataFrame:
        """The numbers as a tidy frame, one value a row.

        Of stitches: networks and layers, family, objective, control, seed, metric, value, low, high, unit. Of
        similarities: networks and layers, measure, kind, value, null_mean, null_low, null_high, p, q, score, p_grid,
        score_grid, n, note.
        """
        if self.similarities:
            from .report.similarities import frame as table

            return table(self.similarities)
        from .report.frame import frame

        return frame(self.records)

    def to_pandas(self) -> Any:
        """Give the frame to pandas (extra ``pandas``).

        Returns:
            A ``pandas.DataFrame``, one value a row.

        Raises:
            MissingExtraError: pandas or pyarrow is missing.

        Examples:
            >>> len(r.to_pandas()) == len(r.frame)
            True
        """
        from .report.exchange import to_pandas

        return to_pandas(self.frame)

    def to_xarray(self) -> Any:
        """Give the numbers as a ``xarray.Dataset`` (extra ``xarray``).

        Of stitches: value, low and high over bottom, bottom_layer, top, top_layer, family, objective, control, seed and
        metric, and over samples where several numbers are there. Of similarities: value, null level, p and score over
        the networks, their layers and the measure. NaN where there is none.

        Returns:
            The dataset.

        Raises:
            MissingExtraError: xarray is missing.
            MeasureError: the array would be too large.

        Examples:
            >>> "value" in r.to_xarray()
            True
        """
        from .report.exchange import SIMILARITIES, STITCHES, to_xarray

        return to_xarray(self.frame, SIMILARITIES if self.similarities else STITCHES)

    def to_datasets(self) -> Any:
        """Give the frame as a ``datasets.Dataset`` (package datasets), as for a hub of results.

        Returns:
            The set, one value a row.

        Raises:
            MissingExtraError: the package datasets is missing.

        Examples:
            >>> r.to_datasets().num_rows == len(r.frame)
            True
        """
        from .report.exchange import to_datasets

        return to_datasets(self.frame)

    @property
    def failed(self) -> list[str]:
        """One sentence for each stitch without a finite value; the other stitches stand."""
        return [note for record in self.records for note in record.notes if note.startswith("failed: ")]

    @property
    def weights(self) -> dict[str, str]:
        """Where the weights of each network come from, by name, as far as it is known."""
        from .report.marks import weights_of

        return dict(self.spec["weights"]) if self.similarities else weights_of(self.records)

    @property
    def donors(self) -> dict[str, dict[str, Any]]:
        """The error of each network alone.

        Error, fit_error (and of how many fit samples), unit, weights and view in words.
        """
        return {n: facts._asdict() for record in self.records for n, facts in (record.donors or {}).items()}

    @property
    def notes(self) -> list[str]:
        """The notes of all cells, each once; for similarities, some of the reasons why values are missing."""
        if self.similarities:
            from .report.similarities import notes

            return notes(self.similarities)
        return list(dict.fromkeys(note for record in self.records for note in record.notes))

    @property
    def pooled(self) -> pl.DataFrame:
        """One row for each seam, setting and control over all pairs and seeds, with a hierarchical interval.

        Columns besides: the normalised penalty with its interval on rows of pairs, or the reason why it is empty.

        Raises:
            StudyError: these are similarities, one value a pair of layers.
        """
        if self.similarities:
            raise StudyError(
                "Similarities are not pooled: expected penalties, found one value for each measure and pair of "
                "layers; see frame."
            )
        from .report.pooled import pooled

        return pooled(self.records)

    @property
    def examples(self) -> pl.DataFrame:
        """One row for each test sample, seam and control: what the stitched model and both networks answered.

        Columns: cell, the networks and layers, family, objective, control, seed, sample (its place in the test split);
        label; right and answer of the stitched model, bottom_right, bottom_answer, top_right and top_answer of its
        donors alone; loss, the stitched model's in nats; stitched_error and top_error (0 or 100 percent, or in the
        task's unit), weight (1, or what a sample counts, such as its tokens), unit. Of texts, whose answers are one a
        token, ``right`` is how many of ``weight`` tokens are right. Label and answers are empty where they are no
        classes; so is what records of before do not keep, and a bottom that has other classes than the top. Cells that
        keep no example have no rows.
        """
        from .report.frame import examples

        return examples(self.records)

    @kinds()
    def breaks(self, control: str = "pair", data: Data | None = None) -> pl.DataFrame:
        """Tell of each test sample, of texts of each token, where it breaks.

        It breaks where the stitched model is wrong and the top alone is right.

        Args:
            control: of these stitches; "pair" are the stitches of two networks.
            data: those that were compared on, where they are texts: what breaks is shown.

        Returns:
            One row a sample and pair of networks, of texts one a token. Columns: bottom, top, sample (its place in the
            test split), token (of texts, which of those that count, from 0 on), label, top_right; of how many stitches
            (layers, families, seeds) how many flipped the top's answer from right to wrong (it breaks) or from wrong to
            right; first_layer and first_depth of the shallowest that did; and the answer that most of these gave, of
            texts where they broke. With data also text, of what a stitch flips: the sample with the token in brackets,
            and what was answered in its place, decoded where the data name their tokenizer.

        Raises:
            StudyError: no record keeps samples that are right or wrong, or the samples are no texts.
            DataError: the data have another test split than the records.

        Examples:
            >>> r = ms.compare(bottom, top, data, layers=["block1", "block2"], objective="match", controls=())
            >>> r.breaks().filter(bottom="bottom", top_right=True).height <= data.size("test")
            True
        """
        from .report.samples import breaks, with_texts

        rows = breaks(self.records, control)
        return rows if data is None else with_texts(rows, self._shown_from(data))

    def _shown_from(self, data: Data) -> Shown:
        from .data.shown import Shown

        return Shown(data, {str(r.examples["test"]) for r in self.records if r.examples and r.examples.get("test")})

    @kinds()
    def by_class(self, control: str = "pair") -> pl.DataFrame:
        """Give the penalty of each class by itself, with its interval.

        Args:
            control: as for ``breaks``.

        Returns:
            One row a seam, setting and class: networks and layers, the setting, label, examples (of the class), fits,
            value, low, high (paired over the samples of the class, seeds taken together), unit.

        Raises:
            StudyError: as ``breaks``, or records keep no labels.

        Examples:
            >>> r = ms.compare(bottom, top, data, layers="block2", objective="match", controls=(), both=False)
            >>> r.by_class()["label"].n_unique()
            10
        """
        from .report.samples import by_class

        return by_class(self.records, control)

    def difficulty(self) -> pl.DataFrame:
        """Tell of each test sample how hard it is for all networks and stitches together.

        Returns:
            One row a sample, of texts one a token: label; of how many networks how many are right on it alone; in how
            many pairs it breaks at some stitch, and at how many stitches; and trend, the correlation over all models,
            stitched or not, of being right on it with accuracy on all others: below 0, better models do worse on it.

        Raises:
            StudyError: as ``breaks``, or the stitches were measured on several test splits.

        Examples:
            >>> r = ms.compare(bottom, top, data, layers="block2", objective="match", controls=())
            >>> hard = r.difficulty().sort("networks_right", "broken", descending=[False, True])
            >>> hard["networks"][0]
            2
        """
        from .report.samples import difficulty

        return difficulty(self.records)

    @kinds()
    def trajectory(
        self, times: Mapping[str, float] | None = None, *, similarities: Results | None = None
    ) -> Trajectory:
        """See bottoms as times of one training: penalty and CKA against time and depth.

        Args:
            times: {bottom: step or epoch}; by default the steps of checkpoints of this package's own training.
            similarities: measures of the same networks, one of which is a linear CKA.

        Returns:
            The trajectory into each top: its ``frame``, ``settled``, ``sentences``, ``figure()`` and ``draw(path)``.

        Raises:
            StudyError: fewer than two bottoms have a time; a name is no bottom's; there is no CKA among similarities.

        Examples:
            >>> nets = [bottom.named("early"), bottom.named("late"), top]
            >>> pairs = [("early", "top"), ("late", "top")]
            >>> r = ms.compare(nets, data=data, pairs=pairs, layers="block2", objective="match", controls=())
            >>> r.trajectory({"early": 10, "late": 100})
            Trajectory(2 times, 1 layers, 1 tops)
        """
        from .report.trajectory import trajectory_of

        return trajectory_of(self.records, times, None if similarities is None else similarities.frame)

    @kinds("networks", "device")
    def front(
        self,
        *networks: Network,
        by: str = "multiplications",
        batch_size: int = 1,
        rounds: int = 15,
        device: str = "cpu",
        exported: str | None = None,
    ) -> Front:
        """Lay errors beside costs, and find the stitches that no other one beats in both.

        Multiplications are counted by torch, and times measured here and now. Controls are left out; the whole
        networks stand beside the stitches.

        Args:
            *networks: the donors of all stitches.
            by: the cost: "multiplications" (of one sample), "parameters", "milliseconds" (of one batch) or
                "exported_milliseconds".
            batch_size: samples of a timed call.
            rounds: timed calls of each model; their median counts.
            device: where they run: "cpu", "cuda" or "auto".
            exported: time every model as a file, too, as ``Stitched.export`` writes it: "onnx" (in onnxruntime) or
                "pt2" (an exported programme in torch), on the processor.

        Returns:
            The front: its ``frame``, ``table``, ``figure()`` and ``draw(path)``.

        Raises:
            StudyError: a donor is missing, or another one than was stitched; or nothing was measured.
            StitchError: there is no such cost, or a model cannot be exported.
            MissingExtraError: a package for files is missing (extra ``onnx``).

        Examples:
            >>> made = ms.compare(bottom, top, data, layers="block2", objective="match", controls=())
            >>> made.front(bottom, top).frame["bottom_layer"].drop_nulls().to_list()
            ['block2', 'block2']
        """
        from .report.front import check_cost, front_of
        from .stitched.cost import costs_of

        check_cost(by, exported=exported is not None)
        how: dict[str, Any] = {"batch_size": batch_size, "rounds": rounds, "device": device, "exported": exported}
        costs = costs_of(self.records, networks, **how)
        told = f"batches of {batch_size}, median of {rounds}, on {device}"
        return front_of(self.records, costs, by, told if exported is None else f"{told}; files: {exported}")

    @kinds()
    def figure(
        self,
        what: str | None = None,
        *,
        pair: tuple[str, str] | None = None,
        metrics: Sequence[str] | None = None,
        family: str | None = None,
        style: str = "screen",
    ) -> Figure:
        """Draw a matplotlib figure.

        Args:
            what: "penalty" (against depth, with controls), "matrix", "ladder", "samples", "family" (of three networks
                or more: tree, heat map and map), "separation" (of their groups), "breaks" (test samples lost and gained
                at each layer), "classes" (penalty of each class at each layer), or "difficulty" (of test samples, over
                all networks); by default "family" of similarities of several networks, "matrix" where only
                similarities are there, or every top layer met several bottoms; else "penalty".
            pair: (bottom, top); the first pair by default.
            metrics: of a matrix, one heat map each; by default penalty, cka and r2, of similarities all measures. Of a
                family the first one.
            family: of a matrix; all families' mean by default.
            style: "screen", or "paper" for print: small type, thin titles, black axes; ``draw`` embeds its fonts.

        Returns:
            A figure of matplotlib, not shown.

        Raises:
            StitchError: there is no such figure, no such pair, or no such style.

        Examples:
            >>> r.figure("penalty").axes[0].get_ylabel() != ""
            True
        """
        from .report.answer import figure_of
        from .report.figures.style import in_style

        if what is not None and what not in FIGURES:
            raise StitchError(f"The figure {what!r} is unknown: {among(str(what), FIGURES, quoted=True)}")
        with in_style(style):
            return figure_of(self, what, pair, metrics, family)

    @kinds()
    def family(self, groups: Mapping[str, str] | None = None, *, similarities: Results | None = None) -> NetworkFamily:
        """See three networks or more as one set.

        Args:
            groups: {network: group}; by default those that ``similarity`` was given, or none.
            similarities: of penalties: measures of the same networks, side by side with them.

        Returns:
            N x N x layers by every measure, with tree, map, figures, and how far the groups stand apart.

        Raises:
            MeasureError: fewer than three networks; groups that do not cover them; similarities of other networks or
                data.
            StudyError: there are no values.

        Examples:
            >>> three = [bottom, top, top.named("other")]
            >>> m = ms.similarity(three, data=data, measures=["cka"], layers=["block1", "block2"], samples=100)
            >>> kin = m.family({"bottom": "one", "top": "two", "other": "two"})
            >>> kin.values["cka_linear_biased"].shape, kin.separation["auc"][0]
            ((3, 3, 2), 1.0)
        """
        from .report.answer import family_in

        return family_in(self, groups, similarities)

    @kinds("path")
    def draw(
        self,
        path: str | Path,
        what: str | None = None,
        *,
        pair: tuple[str, str] | None = None,
        style: str = "screen",
    ) -> Path:
        """Write a figure to a file.

        Args:
            path: where; its ending says how: .pdf, .svg or .png.
            what: as for ``figure``.
            pair: as for ``figure``.
            style: as for ``figure``.

        Returns:
            The path.

        Raises:
            StitchError: as ``figure``, or the ending is another one.
            StudyError: the file cannot be written.

        Examples:
            >>> r.draw("penalty.svg", "penalty").name
            'penalty.svg'
        """
        import matplotlib

        from .report.figures.axes import drawing, write_figure
        from .report.figures.style import in_style, settings

        target = drawing(path)
        drawn = self.figure(what, pair=pair, style=style)
        with in_style(style), matplotlib.rc_context(settings() if style == "paper" else {}):
            return write_figure(drawn, target, dpi=300 if style == "paper" else 200)

    @kinds("path")
    def report(
        self,
        path: str | Path,
        *,
        title: str | None = None,
        command: str | None = None,
        similarities: Results | None = None,
        data: Data | None = None,
    ) -> Path:
        """Write the inert HTML page.

        Args:
            path: where.
            title: its heading.
            command: what made the numbers.
            similarities: measures of layers that were stitched, too, to stand beside the penalties of the first pair;
                of three networks or more, beside those of the family.
            data: whose test images or texts stand on the page: those that break first, and those that survive. Without
                data the page says nothing of how samples look.

        Returns:
            The path.

        Raises:
            StudyError: there is nothing to report, or the page cannot be written.
            MeasureError: the similarities are of other networks, or of none of these layers.
            DataError: the data have another test split than the records.

        Examples:
            >>> r.report("page.html").name
            'page.html'
        """
        from .report.answer import page_of
        from .support.files import as_path, write_text

        target = as_path(path, "page")
        shown = None if data is None else self._shown_from(data)
        write_text(target, page_of(self, similarities, title=title, command=command, shown=shown))
        return target

    def save(self, path: str | Path) -> Path:
        """Write the answer to a file; its ending says how.

        ``.parquet`` and ``.json`` hold it whole (the first is read back by ``modelstitch.open``), ``.csv`` the tidy
        frame.

        Args:
            path: the file.

        Returns:
            The path.

        Raises:
            StudyError: there are none, the ending is another one, or the file cannot be written.

        Examples:
            >>> ms.open(r.save("answer.parquet")).frame.equals(r.frame)
            True
        """
        from .records.parquet import records_to_parquet
        from .report import similarities
        from .report.marks import with_weights
        from .support.files import as_path, write_text
        from .support.hashing import sealed

        target = as_path(path, "file of the answer")
        if target.suffix not in TABLES:
            raise StudyError(f"The target {target} is neither .parquet, .csv nor .json: choose one of the three.")
        if not self.records and not self.similarities:
            raise StudyError(
                f"There is nothing to export to {target}: expected finished cells, found none; run the study."
            )
        if target.suffix == ".csv":
            write_text(target, with_weights(self.frame, self.weights).write_csv())
        elif target.suffix == ".json":
            kept = (
                {"similarities": self.similarities}
                if self.similarities
                else {"records": [r.plain() for r in self.records]}
            )
            whole = sealed({"spec": self.spec, **kept})
            write_text(target, json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
        elif self.similarities:
            similarities.write_parquet(self.similarities, self.spec, target)
        else:
            records_to_parquet(self.records, target)
        return target

    def _repr_html_(self) -> str:
        """What a notebook shows: the tables that the command line prints, and the figure."""
        from .report.summary import as_html, penalty_summaries, similarity_summaries

        try:
            drawn = [self.figure()]
        except StudyError:  # nothing is measured yet, which the line below says
            drawn = []
        grids = similarity_summaries(self.frame, self.weights) if self.similarities else []
        return as_html([*grids, *penalty_summaries(self.records)], drawn, repr(self))


def _pairs(records: Sequence[Record]) -> list[tuple[str, str]]:
    found = dict.fromkeys((r.bottom.name, r.top.name) for r in records if r.control == "pair")
    return sorted(found)
