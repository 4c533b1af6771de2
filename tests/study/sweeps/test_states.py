"""A state lies under a name of its work."""

from modelstitch.study.sweeps.states import left


def test_a_state_is_left_under_a_name_of_its_work(cells, bench, tmp_path):
    assert left(cells["pair"][0], bench) is None
    bench.unfinished = tmp_path
    names = {left(group[0], bench).path.name for group in (cells["pair"], cells["random"], cells["class-noise"])}
    assert len(names) == 3
    assert left(cells["pair"][0], bench).path == left(cells["pair"][1], bench).path
