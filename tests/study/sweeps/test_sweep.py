"""Cells of one sweep: cut to the memory there is, fitted and measured together."""

from modelstitch.study.sweeps.sweep import chunked, run_sweep


def test_cells_run_as_many_at_a_time_as_memory_takes(cells, bench, pair):
    some = cells["pair"]
    ((size, part),) = chunked(some, *pair, bench)
    assert part == [0, 1]
    bench.memory = size - 1
    assert [part for _, part in chunked(some, *pair, bench)] == [[0], [1]]
    together = [f.record for f in run_sweep(some, bench)]
    assert [r.cell for r in together] == [c.hash for c in some]
    assert all(r.metric("penalty") is not None for r in together)
