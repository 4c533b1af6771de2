"""The closed table of measures that modelstitch knows by name."""

from __future__ import annotations

import math

from ..errors import MeasureError
from ..support.words import among
from . import cca, cka, dcor, gulp, hsic, knn, matching, procrustes, regression, rsa
from .measure import AXES, LINEAR, Measure

_KORNBLITH = "Kornblith et al., ICML 2019"

_ALL = (
    Measure(
        cka.BIASED,
        cka.linear_cka,
        "similarity",
        "squared norm of the cross-covariance over the product of the norms of both covariances",
        _KORNBLITH,
        from_moments=cka.linear_cka_from_moments,
    ),
    Measure(
        cka.DEBIASED,
        cka.linear_cka_debiased,
        "similarity",
        "linear CKA from unbiased estimates of HSIC",
        "Song et al., JMLR 2012; Nguyen, Raghu and Kornblith, ICLR 2021",
        low=-1.0,
        min_examples=4,
    ),
    Measure(
        cka.MINIBATCH,
        hsic.minibatch_cka,
        "similarity",
        "linear CKA from the unbiased HSIC averaged over minibatches of 128 examples, in the order in which they "
        "come, by their sizes",
        "Nguyen, Raghu and Kornblith, ICLR 2021",
        low=-1.0,
        min_examples=4,
    ),
    Measure(
        cka.RBF,
        cka.rbf_cka,
        "similarity",
        "CKA of kernels exp(-d^2 / (2 s^2)), s = 0.8 of the median distance between examples of each side",
        _KORNBLITH,
    ),
    Measure(
        cca.MEAN_SQUARED,
        cca.cca_mean_squared,
        "similarity",
        "mean of the squared canonical correlations",
        _KORNBLITH,
        invariant_x=LINEAR,
        invariant_y=LINEAR,
        from_moments=cca.cca_mean_squared_from_moments,
    ),
    Measure(
        cca.MEAN,
        cca.cca_mean,
        "similarity",
        "mean of the canonical correlations",
        _KORNBLITH,
        invariant_x=LINEAR,
        invariant_y=LINEAR,
        from_moments=cca.cca_mean_from_moments,
    ),
    Measure(
        cca.SVCCA,
        cca.svcca,
        "similarity",
        "mean canonical correlation of the principal components that hold 99% of each side's variance",
        "Raghu et al., NeurIPS 2017",
        from_moments=cca.svcca_from_moments,
    ),
    Measure(
        cca.PWCCA,
        cca.pwcca,
        "similarity",
        "canonical correlations averaged with weights: how much of the bottom's features each canonical "
        "variate carries",
        "Morcos, Raghu and Bengio, NeurIPS 2018",
        invariant_x=("isotropic scaling", "translation"),
        invariant_y=LINEAR,
        direction="weighted by the bottom",
        from_moments=cca.pwcca_from_moments,
    ),
    Measure(
        procrustes.SIMILARITY,
        procrustes.procrustes_similarity,
        "similarity",
        "sum of the singular values of the cross-covariance, both sides scaled to norm 1",
        "Williams et al., NeurIPS 2021",
        from_moments=procrustes.procrustes_similarity_from_moments,
    ),
    Measure(
        procrustes.DISTANCE,
        procrustes.procrustes_distance,
        "distance",
        "squared distance left after the best rotation, both sides scaled to norm 1",
        "Ding, Denain and Steinhardt, NeurIPS 2021",
        high=2.0,
        self_value=0.0,
        from_moments=procrustes.procrustes_distance_from_moments,
    ),
    Measure(
        procrustes.ANGLE,
        procrustes.procrustes_angle,
        "distance",
        "arc cosine, in radians, of the Procrustes similarity; a metric",
        "Williams et al., NeurIPS 2021",
        high=math.pi / 2,
        self_value=0.0,
        from_moments=procrustes.procrustes_angle_from_moments,
    ),
    Measure(
        regression.FORWARD,
        regression.r2_bottom_to_top,
        "similarity",
        "share of the top's variance that the best affine map of the bottom explains, in sample",
        _KORNBLITH,
        invariant_x=LINEAR,
        direction="bottom -> top",
        from_moments=regression.r2_bottom_to_top_from_moments,
    ),
    Measure(
        regression.BACKWARD,
        regression.r2_top_to_bottom,
        "similarity",
        "share of the bottom's variance that the best affine map of the top explains, in sample",
        _KORNBLITH,
        invariant_y=LINEAR,
        direction="top -> bottom",
        from_moments=regression.r2_top_to_bottom_from_moments,
    ),
    Measure(
        rsa.RSA,
        rsa.rsa,
        "similarity",
        "rank correlation between the two sides' Euclidean distances between examples",
        "Kriegeskorte, Mur and Bandettini, Frontiers in Systems Neuroscience 2008",
        low=-1.0,
        min_examples=4,
    ),
    Measure(
        knn.KNN,
        knn.mutual_knn,
        "similarity",
        "mean share of an example's 10 nearest neighbours that both sides agree on",
        "Huh et al., ICML 2024",
        min_examples=12,
    ),
    Measure(
        knn.JACCARD,
        knn.jaccard_knn,
        "similarity",
        "mean share of common ones among all examples that are one of the 10 nearest neighbours on either side",
        "Wang et al., IEEE TKDE 2022",
        min_examples=12,
    ),
    Measure(
        knn.RANKS,
        knn.rank_knn,
        "similarity",
        "how equally both sides rank the 10 nearest neighbours that they have in common",
        "Wang et al., IEEE TKDE 2022",
        min_examples=12,
    ),
    Measure(
        rsa.DIFFERENCE,
        rsa.rsm_difference,
        "distance",
        "norm of the difference of the matrices of inner products between examples, both sides scaled to norm 1",
        "Klabunde et al., ACM Computing Surveys 2025",
        high=math.sqrt(2),
        self_value=0.0,
        from_moments=rsa.rsm_difference_from_moments,
    ),
    Measure(
        dcor.DCOR,
        dcor.distance_correlation,
        "similarity",
        "square root of the correlation between the two sides' centred distances between examples",
        "Szekely, Rizzo and Bakirov, Annals of Statistics 2007",
    ),
    Measure(
        matching.SOFT,
        matching.soft_matching,
        "similarity",
        "mean correlation of features under the best transport between the two sides, every feature weighing the same",
        "Khosla and Williams, UniReps 2023",
        low=-1.0,
        invariant_x=AXES,
        invariant_y=AXES,
    ),
    Measure(
        matching.PERMUTATION,
        matching.procrustes_permutation,
        "distance",
        "squared distance left after the best one-to-one pairing of features, both sides scaled to norm 1",
        "Williams et al., NeurIPS 2021",
        high=4.0,
        self_value=0.0,
        invariant_x=AXES,
        invariant_y=AXES,
    ),
    Measure(
        gulp.GULP,
        gulp.gulp,
        "distance",
        "how far ridge predictions from the two sides differ over all targets of norm 1, ridge 0.01",
        "Boix-Adsera et al., NeurIPS 2022",
        high=math.inf,
        self_value=0.0,
        from_moments=gulp.gulp_from_moments,
    ),
)

MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}
# The field's short names, and which of the variants they mean here.
ALIASES = {
    "cka": cka.BIASED,
    "cca": cca.MEAN_SQUARED,
    "procrustes": procrustes.DISTANCE,
    "r2": regression.FORWARD,
}


def find(measure: str | Measure) -> Measure:
    """Find a measure by its name or alias; a Measure is returned as it is.

    Args:
        measure: the name, such as "cka_linear_debiased", or an alias, such as "cka".

    Returns:
        The measure.

    Raises:
        MeasureError: no measure of that name; the message lists all.

    Examples:
        >>> ms.measures.find("cka").name
        'cka_linear_biased'
    """
    if isinstance(measure, Measure):
        return measure
    name = ALIASES.get(measure, measure)
    if name not in MEASURES:
        known = [*MEASURES, *ALIASES]
        raise MeasureError(f"There is no measure {measure!r}: {among(measure, known, ', or a Measure of your own')}")
    return MEASURES[name]
