"""A question's cells, counted beforehand and then run."""

import copy

import pytest
import torch

from modelstitch.errors import StudyError
from modelstitch.study.prepared import compared
from modelstitch.study.run import plan_run, run

ASKED = {"layers": "block1", "objective": "match", "controls": "none", "samples": 100}


def test_a_plan_counts_what_a_run_makes(pair, digits):
    asked = compared(*pair, digits, {**ASKED})
    needs = plan_run(asked, device="cpu", timed=False)
    assert needs.cells == 2
    assert needs.kept == 0
    assert [(r.bottom.name, r.top.name) for r in run(asked, device="cpu")] == [("zero", "one"), ("one", "zero")]


@pytest.mark.slow
def test_a_donor_that_changes_meanwhile_is_refused(modules, digits):
    import modelstitch as ms

    networks = [ms.Network(copy.deepcopy(module), torch.zeros(2, 1, 8, 8), name) for module, name in zip(modules, "ab")]
    asked = compared(networks, None, digits, {**ASKED})

    def spoil(*told):
        with torch.no_grad():
            next(networks[0].module.parameters()).add_(1.0)

    with pytest.raises(StudyError, match="The donor 'a' changed while it was stitched"):
        run(asked, device="cpu", tell=spoil)
