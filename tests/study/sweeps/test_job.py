"""Cells on their way to records: how a stitch is opened, and what its record says of the fit."""

from modelstitch import stitch


def test_a_closed_form_has_no_history(pair, digits):
    record = stitch(*pair, "block1", digits, objective="match", samples=200).record
    assert record.history in ((), None)
    assert not any(note.startswith("stopped: ") for note in record.notes)
    assert record.metric("steps").value == 0
