"""Similarity measures of every layer with every layer of two or more networks, over the same examples of a data set."""

from .ahead import foretell_similarity
from .plan import Plan, Step, plan_similarity
from .run import similarity

__all__ = ["Plan", "Step", "foretell_similarity", "plan_similarity", "similarity"]
