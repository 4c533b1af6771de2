"""Similarity measures of every bottom layer with every top layer, over the same examples of a data set."""

from .plan import Plan, Step, plan_similarity
from .run import similarity

__all__ = ["Plan", "Step", "plan_similarity", "similarity"]
