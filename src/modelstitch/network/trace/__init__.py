"""A module to its trace: one graph, proved to compute what the module computes."""
