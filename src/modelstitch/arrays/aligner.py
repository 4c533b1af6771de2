"""``align`` and what it gives: a scikit-learn estimator that brings old embeddings into the space of a new model."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from ..errors import ArrayError, NonFiniteError
from ..moments.moments import Moments
from ..stitchers.base import Site, Stitcher
from ..stitchers.families import FAMILIES, family_of
from ..stitchers.mlp import MLP
from ..support import tensors
from ..support.ambient import in_settled
from ..support.kinds import kinds
from ..support.version import VERSION
from ..support.words import counted
from .checks import FLOATS, array, need, quick, told, weights_of
from .given import Vectors, blocks_of, paired, vectors
from .hidden import UNITS, improve
from .maps import Array, RowMap, unit
from .relative import RELATIVE, WHITENED, relative, whitened

_KIND = "an alignment of embeddings"
# Families that need no products of the new embeddings with themselves, which would cost half a product more.
_FROM_BELOW = {FAMILIES[name] for name in ("affine", "low-rank", "orthogonal", "scaled-orthogonal", "l-ortho", "mlp")}
_SUMS = ("mean_x", "mean_y", "xx", "yy", "xy")


@kinds("family")
def align(
    old: Any,
    new: Any,
    family: str = "affine",
    *,
    both: bool = False,
    old_ids: Any = None,
    new_ids: Any = None,
    weights: ArrayLike | None = None,
    seed: int = 0,
) -> Aligner:
    """Fit a map from the embeddings of one model to those of another.

    Rows are read block by block, once: arrays on the disk need not fit into memory. Both may have any width.

    Args:
        old: embeddings of some samples by the old model, (n, p): an array, a tensor, or the path of a ``.npy`` (read in
            place) or Parquet file.
        new: embeddings of the same samples, in the same order, by the new model, (n, q).
        family: of the map: "affine", "orthogonal", "low-rank:64", "mlp", "relative", "relative-whitened", or another
            one of ``ms.stitchers``.
        both: fit the way back, too, from the same pass.
        old_ids: of the rows of ``old``; where both sides have ids they must be the same.
        new_ids: of the rows of ``new``.
        weights: of the samples, (n,), 0 or more.
        seed: of an MLP.

    Returns:
        The fitted estimator.

    Raises:
        ArrayError: the arrays cannot be read, are not of the same samples, are too few, or hold NaN or infinity.
        StitchError: there is no such family, or none for these widths.

    Examples:
        >>> old = torch.randn(500, 16)
        >>> new = old @ torch.randn(16, 24) + 1
        >>> w = ms.align(old[:400], new[:400])
        >>> w.transform(old[400:]).shape
        (100, 24)
        >>> round(w.score(old[400:], new[400:]), 3)
        1.0
    """
    one, two = vectors(old, "the old embeddings", old_ids), vectors(new, "the new embeddings", new_ids)
    return Aligner(family, both=both, seed=seed).fit(one, two, sample_weight=weights)


class Aligner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A map from old embeddings to new ones, as a scikit-learn estimator.

    ``fit`` takes one pass; ``partial_fit`` adds samples to the same sums. What it gives does not depend on how the
    samples were cut into batches.

    Args:
        family: of the map, as for ``ms.align``.
        both: fit the way back, too: the best map from new to old, not the inverse of the map from old to new.
        seed: of an MLP.

    Attributes:
        n_features_in_: columns of the old embeddings.
        n_features_out_: columns of the new ones.
        n_samples_seen_: pairs that were summed; those of weight 0 do not count.
        notes_: what to know of this fit, in sentences.

    Examples:
        >>> old, new = torch.randn(300, 8), torch.randn(300, 8)
        >>> w = ms.arrays.Aligner("orthogonal", both=True)
        >>> for part in (slice(0, 150), slice(150, 300)):
        ...     _ = w.partial_fit(old[part], new[part])
        >>> w.inverse_transform(w.transform(old)).shape
        (300, 8)
    """

    n_features_out_: int
    n_samples_seen_: int
    _moments: Moments
    _lengths: Tensor
    _maps: dict[str, dict[Any, RowMap]]

    def __init__(self, family: str = "affine", *, both: bool = False, seed: int = 0) -> None:
        self.family = family
        self.both = both
        self.seed = seed

    @in_settled
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the map to pairs, and forget those of earlier calls.

        Args:
            X: old embeddings, (n, p).
            y: new embeddings of the same samples, (n, q).
            sample_weight: of the pairs, (n,).

        Returns:
            The estimator itself.

        Raises:
            ArrayError: as ``ms.align``.
        """
        old, new, weights = self._pairs(X, y, sample_weight, fresh=True)
        if self.family != WHITENED:
            self._solve()
        if self.family == WHITENED:
            there, back = whitened(self._moments, old, new, weights)
            self._keep({"there": there} | ({"back": back} if self.both else {}))
        elif self._is_mlp():
            self._improve(old, new, weights)
        return self

    @in_settled
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Add pairs to those seen so far.

        Args:
            X: old embeddings, (n, p).
            y: new embeddings of the same samples, (n, q).
            sample_weight: of the pairs, (n,).

        Returns:
            The estimator itself; the map is solved when it is asked for.

        Raises:
            ArrayError: as ``fit``; an MLP is not solved from sums.
        """
        if self.family == WHITENED or self._is_mlp():
            raise ArrayError(
                f"The family {self.family!r} looks at samples twice: expected another, such as 'affine', for "
                "partial_fit; or give all samples to fit, which reads arrays on the disk in place."
            )
        self._pairs(X, y, sample_weight, fresh=not hasattr(self, "_moments"))
        self._maps = {}
        return self

    def transform(self, X: Any) -> Array:
        """Map old embeddings into the space of the new model.

        Args:
            X: (n, p); a single query as (1, p).

        Returns:
            Embeddings (n, q), of the type of ``X``.

        Raises:
            ArrayError: another width, or NaN or infinity.
        """
        maps = self._solved()["there"]
        # A query of the usual kind is not looked at twice: its checks would take longer than its product.
        if type(X) is np.ndarray and X.ndim == 2 and X.dtype in maps and X.shape[1] == self.n_features_in_:
            found = maps[X.dtype](X)
            if math.isfinite(np.vdot(found, found)) and not hasattr(self, "feature_names_in_"):
                return found
        return _mapped(maps, self._checked(X, reset=False, name="the old embeddings"))

    def inverse_transform(self, X: Any) -> Array:
        """Map new embeddings back into the space of the old model.

        A query of the new model so meets the index of the old one.

        Args:
            X: (n, q); a single query as (1, q).

        Returns:
            Embeddings (n, p), of the type of ``X``.

        Raises:
            ArrayError: the way back was not fitted; another width; NaN or infinity.
        """
        maps = self._solved().get("back")
        if maps is None:
            raise ArrayError(
                "The way back was not fitted: expected both=True when fitting; or fit an aligner from new to old."
            )
        if type(X) is np.ndarray and X.ndim == 2 and X.dtype in maps and X.shape[1] == self.n_features_out_:
            found = maps[X.dtype](X)
            if math.isfinite(np.vdot(found, found)):
                return found
        rows = array(X, "the new embeddings")
        if rows.width != self.n_features_out_:
            raise ArrayError(
                f"The new embeddings have {rows.width} columns: expected {self.n_features_out_}, as in fit."
            )
        return _mapped(maps, rows)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Measure the share of the new embeddings' variance that the map explains (R2), over all columns at once.

        Args:
            X: old embeddings, (n, p).
            y: new embeddings of the same samples, (n, q).
            sample_weight: of the pairs, (n,).

        Returns:
            At most 1; 0 is what the mean of the new embeddings would do.

        Raises:
            ArrayError: as ``transform``; the new embeddings do not vary.
        """
        found = self.transform(X)
        wanted = array(y, "the new embeddings", column=True)
        _same_length(len(found), len(wanted))
        weights = weights_of(sample_weight, len(wanted))
        w = np.ones(len(wanted)) if weights is None else weights
        target = wanted.all().astype(np.float64)
        away = w @ np.square(target - found).sum(1)
        spread = w @ np.square(target - np.average(target, axis=0, weights=w)).sum(1)
        if not spread > 0:
            raise ArrayError("The new embeddings do not vary: expected samples that differ to measure R2.")
        return float(1 - away / spread)

    def round_trip(self, X: Any) -> float:
        """Measure how much of old embeddings there-and-back keeps (R2): through the new space and home again.

        Args:
            X: old embeddings, (n, p).

        Returns:
            At most 1.

        Raises:
            ArrayError: as ``inverse_transform``.
        """
        there = self.inverse_transform(self.transform(X))
        rows = array(X, "the old embeddings").all().astype(np.float64)
        return float(1 - np.square(rows - there).sum() / np.square(rows - rows.mean(0)).sum())

    @property
    def coef_(self) -> Array:
        """W of the map x -> W x + b, (q, p); of an MLP its affine part, of a relative one what acts on directions."""
        return self._solved()["there"][np.dtype(np.float64)].weight

    @property
    def intercept_(self) -> Array:
        """b of the map x -> W x + b, (q,)."""
        return self._solved()["there"][np.dtype(np.float64)].bias

    @property
    def moments_(self) -> Moments:
        """The sums of all pairs seen."""
        check_is_fitted(self)
        return self._moments

    def save(self, path: str | Path) -> None:
        """Write the map and its sums as safetensors with a digest, whole or not at all.

        Args:
            path: the file.

        Raises:
            StudyError: the disk is full, or the folder cannot be written to.
        """
        check_is_fitted(self)
        held: dict[str, Tensor] = {f"sums.{name}": getattr(self._moments, name) for name in _SUMS}
        held["sums.lengths"] = self._lengths
        for way, maps in self._solved().items():
            for name, numbers in maps[np.dtype(np.float64)].arrays().items():
                held[f"{way}.{name}"] = torch.from_numpy(numbers.copy())
        texts = {"of": _KIND, "version": VERSION, "family": self.family, "both": str(int(self.both))}
        counts = {"seed": str(self.seed), "mass": repr(self._moments.n), "samples": str(self.n_samples_seen_)}
        tensors.save(Path(path), held, texts | counts)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote; ``partial_fit`` goes on from there.

        Args:
            path: the file.

        Returns:
            The fitted estimator.

        Raises:
            ArrayError: the file is missing, holds something else, or changed since it was written.
        """
        try:
            held, texts = tensors.load(Path(path))
            if texts.get("of") != _KIND:
                raise ValueError(f"it holds {texts.get('of') or 'something else'}")
            made = cls(texts["family"], both=texts["both"] == "1", seed=int(texts["seed"]))
            made._moments = Moments(float(texts["mass"]), **{name: held[f"sums.{name}"] for name in _SUMS})
            made._lengths, made.n_samples_seen_ = held["sums.lengths"], int(texts["samples"])
            made.n_features_out_, made.n_features_in_ = made._moments.xy.T.shape
            made._note()
            made._keep({way: RowMap.of(_under(way, held)) for way in ("there", "back") if f"{way}.weight" in held})
            return made
        except (OSError, ValueError, KeyError) as error:
            raise ArrayError(
                f"{path} holds no alignment ({error}): expected a file that save wrote; fit it anew."
            ) from error

    @property
    def _n_features_out(self) -> int:
        """For the names of columns that scikit-learn gives."""
        return self.n_features_out_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_moments")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _pairs(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, *, fresh: bool
    ) -> tuple[Vectors, Vectors, NDArray[np.float64] | None]:
        """Check pairs of rows and add them to the sums, which a ``fresh`` call begins anew."""
        if y is None:
            raise ArrayError(
                f"This {type(self).__name__} requires y to be passed, but the target y is None: give the new "
                "embeddings of the same samples."
            )
        old = self._checked(X, reset=fresh, name="the old embeddings")
        new = array(y, "the new embeddings", column=True)
        if not fresh and new.width != self.n_features_out_:
            raise ArrayError(f"{new.name} have {new.width} columns: expected {self.n_features_out_} as before.")
        paired(old, new)
        weights = weights_of(sample_weight, len(old))
        counted_rows = len(old) if weights is None else int((weights > 0).sum())
        before = 0 if fresh else self.n_samples_seen_
        need(self.family, old.width, new.width, before + counted_rows)
        relative_rows = self.family == RELATIVE
        whole = self.both or family_of(self.family)[0] not in _FROM_BELOW
        sums = Moments.empty(old.width, new.width, both=whole) if fresh else self._moments
        lengths = _add(sums, old, new, weights, directions=relative_rows)
        self._lengths = lengths if fresh else self._lengths + lengths
        self._moments, self.n_features_out_, self.n_samples_seen_ = sums, new.width, before + counted_rows
        self._note()
        return old, new, weights

    def _checked(self, X: Any, *, reset: bool, name: str) -> Vectors:
        """Rows of the old side, their names and width held against those of the fit."""
        rows = X if isinstance(X, Vectors) else quick(X, name)
        try:
            if rows is not None:
                validate_data(self, rows.values, reset=reset, skip_check_array=True)
                return rows
            if hasattr(X, "detach"):
                X = vectors(X, name).values
            return Vectors(validate_data(self, X, reset=reset, dtype=list(FLOATS)), name)
        except ValueError as error:
            raise told(error) from error

    def _is_mlp(self) -> bool:
        return issubclass(family_of(self.family)[0], MLP)

    def _note(self) -> None:
        """What is to be known of the sums."""
        moments, seen = self._moments, self.n_samples_seen_
        self.notes_: list[str] = []
        for side, sums, mean in (("old", moments.xx, moments.mean_x), ("new", moments.yy, moments.mean_y)):
            if sums.numel():
                still = int((sums.diagonal() <= moments.n * (1e-6 * mean) ** 2).sum())
                if still:
                    self.notes_.append(
                        f"{counted(still, 'column')} of {len(mean)} of the {side} embeddings never change."
                    )
        if seen <= len(moments.mean_x):
            self.notes_.append(
                f"{seen:,} pairs span fewer directions than the {len(moments.mean_x):,} columns of the old embeddings: "
                "what lies outside them is mapped to the mean."
            )

    def _solved(self) -> dict[str, dict[Any, RowMap]]:
        if not getattr(self, "_maps", None):
            check_is_fitted(self)
            self._solve()
        return self._maps

    @in_settled
    def _solve(self) -> None:
        """The maps of the sums, one for each way."""
        moments = self._moments
        if not bool((moments.xx.diagonal() > 0).any()):
            raise ArrayError("No column of the old embeddings ever changes: expected samples that differ.")
        ways = {"there": moments} | ({"back": moments.turned()} if self.both else {})
        if self.family == RELATIVE:
            lengths = dict(zip(("back", "there"), (self._lengths / moments.n).tolist()))
            self._keep({way: relative(sums, lengths[way]) for way, sums in ways.items()})
        else:
            self._keep({way: _row_map(self._stitcher(sums), self.family) for way, sums in ways.items()})

    def _improve(self, old: Vectors, new: Vectors, weights: NDArray[np.float64] | None) -> None:
        """Fit MLPs to the samples themselves."""
        w = None if weights is None else torch.from_numpy(weights).float()
        ways = {"there": (self._moments, old, new)}
        if self.both:
            ways["back"] = (self._moments.turned(), new, old)
        maps = {}
        for way, (moments, x, y) in ways.items():
            stitcher = self._stitcher(moments).float()
            assert isinstance(stitcher, MLP)
            maps[way] = _row_map(improve(stitcher, x, y, w, seed=self.seed), self.family)
        self._keep(maps)

    def _stitcher(self, moments: Moments) -> Stitcher:
        cls, options = family_of(self.family)
        if issubclass(cls, MLP):
            options = {"hidden": min(UNITS, 2 * max(moments.xy.shape)), **options, "seed": self.seed}
        rows, scale = self.n_samples_seen_, self.n_samples_seen_ / moments.n
        sums = (moments.mean_x, moments.mean_y, *(scale * square for square in (moments.xx, moments.yy, moments.xy)))
        with _double():
            return cls.solve(Moments(rows, *sums), Site(len(moments.mean_x), len(moments.mean_y), "vector"), **options)

    def _keep(self, maps: dict[str, RowMap]) -> None:
        self._maps = {way: {np.dtype(d): found.to(d) for d in FLOATS} for way, found in maps.items()}


def _add(sums: Moments, old: Vectors, new: Vectors, weights: NDArray[np.float64] | None, *, directions: bool) -> Tensor:
    """Add all pairs to the sums, in single precision where both sides are: half the time, good to about 1e-6.

    Args:
        directions: sum rows of length 1.

    Returns:
        The sums of the lengths of both sides' rows, (2,); zeros where they are summed as they are.
    """
    lengths = torch.zeros(2, dtype=torch.float64)
    for x, y, w in blocks_of(old, new, weights=weights):
        if w is not None and not w.any():
            continue
        if directions:
            w_rows = np.ones(len(x)) if w is None else w
            lengths += torch.tensor([float(w_rows @ np.linalg.norm(side, axis=1)) for side in (x, y)])
            x, y = unit(x), unit(y)
        single = x.dtype == y.dtype == np.float32
        try:
            sums.update(
                _tensor(x),
                _tensor(y),
                weights=None if w is None else torch.from_numpy(w),
                dtype=torch.float32 if single else torch.float64,
            )
        except NonFiniteError as error:
            raise _not_finite(old, new) from error
    if not all(bool(torch.isfinite(getattr(sums, name)).all()) for name in _SUMS):
        raise _not_finite(old, new)
    return lengths


def _tensor(block: Array) -> Tensor:
    """The same memory. Nothing is written to it, so that a file may be read in place, of which torch would warn."""
    block = np.require(block, requirements="A") if min(block.strides) >= 0 else np.ascontiguousarray(block)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(block)


def _not_finite(*sides: Vectors) -> ArrayError:
    for side in sides:
        place = side.first_not_finite()
        if place is not None:
            value = side.values[place]
            return ArrayError(
                f"{side.name[:1].upper()}{side.name[1:]} hold {'NaN' if np.isnan(value) else 'inf'} in row "
                f"{place[0]:,}, column {place[1]:,}: expected finite numbers; leave such rows out of both arrays."
            )
    return ArrayError("The embeddings are so large that their sums are inf: expected smaller numbers; rescale them.")


def _mapped(maps: dict[Any, RowMap], rows: Vectors) -> Array:
    """Every row through the map, block by block."""
    if not len(rows):
        raise ArrayError(f"{rows.name} hold no rows: expected at least one.")
    found = [maps[part.dtype](part) for part in map(rows.block, rows.slices())]
    whole: Array = found[0] if len(found) == 1 else np.concatenate(found)
    if not np.isfinite(whole).all():
        raise _not_finite(rows)
    return whole


def _same_length(found: int, wanted: int) -> None:
    if found != wanted:
        raise ArrayError(f"Both arrays must hold the same samples: found {found:,} and {wanted:,} rows.")


def _row_map(stitcher: Stitcher, family: str) -> RowMap:
    if isinstance(stitcher, MLP):
        up, down, shift = (part.detach().double().numpy() for part in (stitcher.up, stitcher.down, stitcher.shift))
        weight, bias = stitcher.affine.affine_form()
        return RowMap(weight.numpy(), bias.numpy(), (up, down, shift))
    affine = stitcher.affine_form()
    if affine is None:
        raise ArrayError(
            f"The family {family!r} has no affine form: expected one that is x -> W x + b on a row, or 'mlp'."
        )
    w, b = (part.detach().cpu().numpy() for part in affine)
    return RowMap(w, b)


def _under(way: str, held: dict[str, Tensor]) -> dict[str, Array]:
    return {name.partition(".")[2]: value.numpy() for name, value in held.items() if name.startswith(f"{way}.")}


@contextmanager
def _double() -> Iterator[None]:
    """Maps are kept in double precision here: rows of that type are none of a network."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
