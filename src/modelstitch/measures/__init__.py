"""Geometric measures of how alike two sets of activations are, each beside its null level."""

from .calibrate import Calibrated, calibrate
from .cca import cca_mean, cca_mean_squared, pwcca, svcca
from .checks import Activations
from .cka import linear_cka, linear_cka_debiased, rbf_cka
from .contract import check
from .dcor import distance_correlation
from .evaluate import evaluate, null_level
from .gulp import gulp
from .hsic import minibatch_cka
from .knn import jaccard_knn, mutual_knn, rank_knn
from .matching import procrustes_permutation, soft_matching
from .measure import Measure, Null, Result
from .procrustes import procrustes_angle, procrustes_distance, procrustes_similarity
from .registry import ALIASES, MEASURES, find
from .regression import r2_bottom_to_top, r2_top_to_bottom
from .rsa import rsa, rsm_difference

__all__ = [
    "ALIASES",
    "MEASURES",
    "Activations",
    "Calibrated",
    "Measure",
    "Null",
    "Result",
    "calibrate",
    "cca_mean",
    "cca_mean_squared",
    "check",
    "distance_correlation",
    "evaluate",
    "find",
    "gulp",
    "jaccard_knn",
    "linear_cka",
    "linear_cka_debiased",
    "minibatch_cka",
    "mutual_knn",
    "null_level",
    "procrustes_angle",
    "procrustes_distance",
    "procrustes_permutation",
    "procrustes_similarity",
    "pwcca",
    "r2_bottom_to_top",
    "r2_top_to_bottom",
    "rank_knn",
    "rbf_cka",
    "rsa",
    "rsm_difference",
    "soft_matching",
    "svcca",
]
