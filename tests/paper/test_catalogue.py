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
    ("name", "words"),
    [
        ("1", "Figure 1 is a cartoon"),
        ("fig2A", "There is no figure 'fig2A': did you mean '2a'"),
        ("zzz", "expected one of 2a, 2b"),
    ],
)
def test_a_figure_that_there_is_not(name, words):
    with pytest.raises(StudyError, match=words):
        figure(name)
