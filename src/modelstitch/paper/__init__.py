"""The experiments of Bansal, Nakkiran and Barak (2021) as runnable figures; one file each, listed in :mod:`.catalogue`.

A figure file is plain data: which networks, which curves, what the paper claims and what would refute it. One runner
(:mod:`.run`) makes all of them at three scales under two protocols; one writer (:mod:`.gallery`) draws them,
torch-free.
"""
