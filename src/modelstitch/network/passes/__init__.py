"""Rewrites of a part for speed, which change no number."""
