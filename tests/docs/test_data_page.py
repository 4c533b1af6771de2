"""The page on own data runs as it stands."""

import pytest

from pages import blocks, run_python


@pytest.mark.slow
def test_the_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    told = run_python("\n".join(blocks("docs/data.md", "python")), tmp_path, monkeypatch)
    assert "Data('mine', fit=300, val=100, test=200) 3" in told
    assert "The labels of the fit split of data are of type torch.float32: expected integers" in told
    assert (
        "Data('animals', fit=54, val=6, test=20) ('cat', 'dog') ('there is no test folder: val/ is the test split"
        in told
    )
    assert "\nTrue\n" in told
    assert "The test split of noisy is random" in told
