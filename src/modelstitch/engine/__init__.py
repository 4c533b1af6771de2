"""One pass, the fits that start from it, and the one measurement."""
