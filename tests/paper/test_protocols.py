"""The two ways a figure is run."""

from typing import get_args

import pytest

from modelstitch.engine.controls import CONTROLS
from modelstitch.errors import StudyError
from modelstitch.paper.protocols import PROTOCOLS, protocol
from modelstitch.stitchers import family_of
from modelstitch.study.question import OBJECTIVES, Normalisation


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_names_what_there_is(name):
    found = protocol(name)
    assert found.name == name
    assert family_of(found.family)
    assert found.objective in OBJECTIVES
    assert found.normalisation in get_args(Normalisation)
    assert set(found.controls) <= set(CONTROLS)


def test_one_that_there_is_not():
    with pytest.raises(StudyError, match="There is no protocol 'fast': expected one of honest, paper"):
        protocol("fast")
