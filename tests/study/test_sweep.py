"""Cells of one sweep: cut to the memory there is, fitted and measured together."""

from modelstitch.study.sweep import chunked, run_sweep


def test_cells_run_as_many_at_a_time_as_memory_takes(cells, bench, pair):
    some = cells["pair"]
    sizes, parts = chunked(some, *pair, bench)
    assert [list(part) for part in parts] == [[0, 1]]
    bench.memory = sizes[0]
    assert [list(part) for part in chunked(some, *pair, bench)[1]] == [[0], [1]]
    together = [f.record for f in run_sweep(some, bench)]
    assert [r.cell for r in together] == [c.hash for c in some]
    assert all(r.metric("penalty") is not None for r in together)
