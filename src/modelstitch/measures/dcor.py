"""Distance correlation: do both sides put examples at distances that vary together, linearly or not?

Szekely, Rizzo and Bakirov, "Measuring and testing dependence by correlation of distances", Annals of Statistics 2007.
"""

from __future__ import annotations

from torch import Tensor

from .checks import Activations, bounded, cosine, distances, pair

DCOR = "distance_correlation"


def distance_correlation(x: Activations, y: Activations) -> float:
    """Compute the square root of the correlation of both sides' centred distances.

    It is 0 for infinitely many independent examples alone, and well above it for few: see its null level. Memory grows
    with n^2.

    Args:
        x: activations of one side, a tensor or an array (n, p).
        y: of the other side for the same n examples, (n, q).

    Returns:
        The similarity, 0 to 1.

    Raises:
        MeasureError, NonFiniteError: unpaired rows, a side that never varies, NaN or infinity; n < 3.

    Examples:
        >>> round(ms.measures.distance_correlation(x, y), 3)
        0.768
    """
    a, b = (centred_distances(side) for side in pair(x, y, measure=DCOR, needed=3))
    return bounded(root_cosine(a, b), 0, 1, DCOR)


def centred_distances(x: Tensor) -> Tensor:
    """The distances (n, n) between the rows of x (n, p), less the means of rows and columns."""
    d = distances(x, DCOR)
    means = d.mean(0)
    return d - means - means[:, None] + means.mean()


def root_cosine(a: Tensor, b: Tensor) -> Tensor:
    """The square root of the cosine between two matrices whose product is not negative but for rounding."""
    return cosine(a, b).clamp(min=0).sqrt()
