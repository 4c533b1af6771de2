"""Similarity measures of every bottom layer with every top layer, over the same examples of a data set."""

from .plan import Plan, Step, plan_similarity
from .results import Likeness, Similarities
from .run import similarity

__all__ = ["Likeness", "Plan", "Similarities", "Step", "plan_similarity", "similarity"]
