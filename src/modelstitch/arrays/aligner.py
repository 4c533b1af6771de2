"""``align`` and what it gives: a scikit-learn estimator that brings old embeddings into the space of a new model."""

from __future__ import annotations

import math
from functools import wraps
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from ..errors import ArrayError
from ..moments.moments import Moments
from ..support import tensors
from ..support.ambient import in_settled
from ..support.kinds import kinds
from ..support.version import VERSION
from .given import FLOATS, Vectors, array, paired, quick, told, uncompared, vectors, weights_of
from .maps import Array, RowMap
from .solve import BACK, THERE, Pairs, looks_twice, need, needs_both, of_directions, solved
from .sums import PairSums, not_finite

_KIND = "an alignment of embeddings"
_Class = TypeVar("_Class", bound=type)


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


def _plain_first(cls: _Class) -> _Class:
    """Let plain rows go by scikit-learn's wrapper of ``transform`` where no container of its output is asked for.

    The wrapper takes as long as the product of a vector with a small matrix.
    """
    contained = cls.transform  # type: ignore[attr-defined]

    @wraps(contained)
    def transform(self: Any, X: Any) -> Any:
        held = vars(self)
        named = "feature_names_in_" in held or "_sklearn_output_config" in held
        if type(X) is np.ndarray and not named and get_config()["transform_output"] == "default":
            found = _straight(self._solved()[THERE], X, self.n_features_in_)
            if found is not None:
                return found
        return contained(self, X)

    cls.transform = transform  # type: ignore[attr-defined]
    return cls


@_plain_first
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
    notes_: list[str]
    _seen: PairSums
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

        Examples:
            >>> w = ms.arrays.Aligner().fit(x, y)
            >>> w.transform(x).shape
            (60, 3)
        """
        rows = self._take(X, y, sample_weight, fresh=True)
        self._keep(solved(self._seen, self.family, both=self.both, seed=self.seed, rows=rows))
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

        Examples:
            >>> w = ms.arrays.Aligner().partial_fit(x[:30], y[:30])
            >>> w.partial_fit(x[30:], y[30:]).n_samples_seen_
            60
        """
        if looks_twice(self.family):
            raise ArrayError(
                f"The family {self.family!r} looks at samples twice: expected another, such as 'affine', for "
                "partial_fit; or give all samples to fit, which reads arrays on the disk in place."
            )
        self._take(X, y, sample_weight, fresh=not hasattr(self, "_seen"))
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

        Examples:
            >>> w = ms.align(x, y)
            >>> w.transform(x[:1]).shape
            (1, 3)
        """
        return _mapped(self._solved()[THERE], self._checked(X, reset=False, name="the old embeddings"))

    def inverse_transform(self, X: Any) -> Array:
        """Map new embeddings back into the space of the old model.

        A query of the new model so meets the index of the old one.

        Args:
            X: (n, q); a single query as (1, q).

        Returns:
            Embeddings (n, p), of the type of ``X``.

        Raises:
            ArrayError: the way back was not fitted; another width; NaN or infinity.

        Examples:
            >>> w = ms.align(x, y, both=True)
            >>> w.inverse_transform(y).shape
            (60, 4)
        """
        maps = self._solved().get(BACK)
        if maps is None:
            raise ArrayError(
                "The way back was not fitted: expected both=True when fitting; or fit an aligner from new to old."
            )
        found = _straight(maps, X, self.n_features_out_)
        if found is not None:
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

        Examples:
            >>> w = ms.align(x, y)
            >>> 0 < w.score(x, y) < 1
            True
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

        Examples:
            >>> w = ms.align(x, y, both=True)
            >>> w.round_trip(x) < 1
            True
        """
        there = self.inverse_transform(self.transform(X))
        rows = array(X, "the old embeddings").all().astype(np.float64)
        return float(1 - np.square(rows - there).sum() / np.square(rows - rows.mean(0)).sum())

    @property
    def coef_(self) -> Array:
        """W of the map x -> W x + b, (q, p); of an MLP its affine part, of a relative one what acts on directions."""
        return self._solved()[THERE][np.dtype(np.float64)].weight

    @property
    def intercept_(self) -> Array:
        """b of the map x -> W x + b, (q,)."""
        return self._solved()[THERE][np.dtype(np.float64)].bias

    @property
    def moments_(self) -> Moments:
        """The sums of all pairs seen."""
        check_is_fitted(self)
        return self._seen.moments

    def save(self, path: str | Path) -> None:
        """Write the map and its sums as safetensors with a digest, whole or not at all.

        Args:
            path: the file.

        Raises:
            StudyError: the disk is full, or the folder cannot be written to.

        Examples:
            >>> w = ms.align(x, y)
            >>> w.save("map.safetensors")
            >>> bool((ms.arrays.Aligner.load("map.safetensors").transform(x) == w.transform(x)).all())
            True
        """
        check_is_fitted(self)
        held = {f"sums.{name}": numbers for name, numbers in self._seen.tensors().items()}
        for way, maps in self._solved().items():
            for name, numbers in maps[np.dtype(np.float64)].arrays().items():
                held[f"{way}.{name}"] = torch.from_numpy(numbers.copy())
        texts = {"of": _KIND, "version": VERSION, "family": self.family, "both": str(int(self.both))}
        counts = {"seed": str(self.seed), "mass": repr(self._seen.moments.n), "samples": str(self._seen.samples)}
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

        Examples:
            >>> w = ms.align(x, y)
            >>> w.save("map.safetensors")
            >>> ms.arrays.Aligner.load("map.safetensors").family
            'affine'
        """
        try:
            held, texts = tensors.load(Path(path))
            if texts.get("of") != _KIND:
                raise ValueError(f"it holds {texts.get('of') or 'something else'}")
            made = cls(texts["family"], both=texts["both"] == "1", seed=int(texts["seed"]))
            made._hold(PairSums.of(_under("sums", held), float(texts["mass"]), int(texts["samples"])))
            made.n_features_in_ = len(made._seen.moments.mean_x)
            ways = [way for way in (THERE, BACK) if f"{way}.weight" in held]
            made._keep({way: RowMap.of({k: v.numpy() for k, v in _under(way, held).items()}) for way in ways})
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
        return hasattr(self, "_seen")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _take(self, X: Any, y: Any, sample_weight: ArrayLike | None, *, fresh: bool) -> Pairs:
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
        before = 0 if fresh else self._seen.samples
        need(self.family, old.width, new.width, before + (len(old) if weights is None else int((weights > 0).sum())))
        whole = self.both or needs_both(self.family)
        seen = PairSums.empty(old.width, new.width, both=whole) if fresh else self._seen
        seen.add(old, new, weights, directions=of_directions(self.family))
        self._hold(seen)
        self.notes_ += uncompared(old, new)
        return Pairs(old, new, weights)

    def _hold(self, seen: PairSums) -> None:
        """Keep sums, and what they say of themselves."""
        self._seen, self.n_samples_seen_, self.notes_ = seen, seen.samples, seen.notes()
        self.n_features_out_ = len(seen.moments.mean_y)

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

    def _solved(self) -> dict[str, dict[Any, RowMap]]:
        found: dict[str, dict[Any, RowMap]] | None = vars(self).get("_maps")
        if not found:
            check_is_fitted(self)
            self._solve()
        return found or self._maps

    @in_settled
    def _solve(self) -> None:
        self._keep(solved(self._seen, self.family, both=self.both, seed=self.seed))

    def _keep(self, maps: dict[str, RowMap]) -> None:
        self._maps = {way: {np.dtype(d): found.to(d) for d in FLOATS} for way, found in maps.items()}


def _straight(maps: dict[Any, RowMap], X: Any, width: int) -> Array | None:
    """Rows of the usual kind, not looked at before: the checks of a query would take longer than its product."""
    if type(X) is np.ndarray and X.ndim == 2 and X.shape[1] == width and X.dtype in maps:
        found = maps[X.dtype](X)
        if math.isfinite(np.vdot(found, found)):
            return found
    return None


def _mapped(maps: dict[Any, RowMap], rows: Vectors) -> Array:
    """Every row through the map, block by block."""
    if not len(rows):
        raise ArrayError(f"{rows.name} hold no rows: expected at least one.")
    found = [maps[part.dtype](part) for part in map(rows.block, rows.slices())]
    whole: Array = found[0] if len(found) == 1 else np.concatenate(found)
    if not np.isfinite(whole).all():
        raise not_finite(rows)
    return whole


def _same_length(found: int, wanted: int) -> None:
    if found != wanted:
        raise ArrayError(f"Both arrays must hold the same samples: found {found:,} and {wanted:,} rows.")


def _under(way: str, held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.partition(".")[2]: value for name, value in held.items() if name.startswith(f"{way}.")}
