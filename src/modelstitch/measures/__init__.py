"""Geometric measures of how alike two sets of activations are, each beside its null level."""

from .cca import cca_mean, cca_mean_squared, pwcca, svcca
from .checks import Activations
from .cka import linear_cka, linear_cka_debiased, minibatch_cka, rbf_cka
from .contract import check
from .evaluate import evaluate, null_level
from .knn import mutual_knn
from .measure import Measure, Null, Result
from .procrustes import procrustes_angle, procrustes_distance, procrustes_similarity
from .registry import ALIASES, MEASURES, find
from .regression import r2_bottom_to_top, r2_top_to_bottom
from .rsa import rsa

__all__ = [
    "ALIASES",
    "MEASURES",
    "Activations",
    "Measure",
    "Null",
    "Result",
    "cca_mean",
    "cca_mean_squared",
    "check",
    "evaluate",
    "find",
    "linear_cka",
    "linear_cka_debiased",
    "minibatch_cka",
    "mutual_knn",
    "null_level",
    "procrustes_angle",
    "procrustes_distance",
    "procrustes_similarity",
    "pwcca",
    "r2_bottom_to_top",
    "r2_top_to_bottom",
    "rbf_cka",
    "rsa",
    "svcca",
]
