"""Fit stitchers: closed forms from one pass of moments, then, if asked, gradient steps on an objective.

This file imports nothing, so that a study's spec can read the options without loading torch.
"""
