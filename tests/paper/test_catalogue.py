"""The figures by name."""

import pytest

from modelstitch.errors import StudyError
from modelstitch.paper.catalogue import FIGURES, OWN_CHECKPOINTS, figure, study_file


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_found_under_its_own_name(name):
    found = figure(name)
    assert found.name == name
    assert found.lines or found.probes
    assert set(OWN_CHECKPOINTS) <= set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_its_file(name):
    from pathlib import Path

    import modelstitch

    assert (Path(modelstitch.__file__).parent / study_file(name)).is_file()


@pytest.mark.parametrize(
    ("name", "text"),
    [("1", "cartoon"), ("2d", "did you mean '2"), ("nothing at all", "expected one of 2a, 2b")],
)
def test_other_names_are_refused(name, text):
    with pytest.raises(StudyError, match=text):
        figure(name)
