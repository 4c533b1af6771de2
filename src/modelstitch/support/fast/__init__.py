"""Quicker ways to the same numbers."""
