"""The experiments of Bansal, Nakkiran and Barak (2021) as runnable figures; one file each, listed in ``.catalogue``.

A figure file is plain data: which networks, which curves, what the paper claims and what would refute it. One runner
(``.run``) makes all of them at four scales under two protocols; one writer (``.gallery``) draws them,
torch-free.
"""
