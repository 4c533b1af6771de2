"""What a reader of a folder has to know, in sentences."""

from modelstitch.study.holdings import Holdings


def test_a_whole_study_needs_no_words():
    assert Holdings({}, [1], {}, [], [], True, []).cautions == []


def test_what_is_left_out_or_unproved_is_said():
    found = Holdings({}, [1], {"00ff": "expected JSON, found nothing"}, ["00ff"], ["a", "b"], True, ["c"]).cautions
    assert found[0] == (
        "The cell 00ff is left out: expected JSON, found nothing; the next run sets it aside and runs the cell again."
    )
    assert found[1].startswith("2 cells are left out: the plan does not name them")
    assert found[2].startswith("1 cell is without digest")
