"""Which protocol's records say what to a claim."""

from pathlib import Path

import pytest

from modelstitch.errors import StudyError
from modelstitch.paper.catalogue import figure
from modelstitch.paper.judged import as_run, records_of, verdicts
from modelstitch.records.parquet import records_from_parquet

GALLERY = Path(__file__).parents[2] / "docs" / "results" / "paper"


def test_what_is_measured_once_is_judged_once():
    records = records_from_parquet(GALLERY / "smoke" / "5.parquet")
    assert [name for _, name, _ in verdicts(figure("5"), records)] == ["honest", "paper", "one measurement"]


def test_a_figure_on_given_networks_is_the_one_that_was_run():
    records = records_of(figure("5"), GALLERY / "own")
    assert "(plain)" in as_run(figure("5"), records).claims[0].text
    assert as_run(figure("5"), records_of(figure("5"), GALLERY / "full")) is figure("5")


def test_a_figure_that_was_not_run_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"no records of figure 2a in .*: expected 2a\.parquet; run it with"):
        records_of(figure("2a"), tmp_path)
