"""The page on language runs as it stands."""

import pytest

from pages import blocks, run_python


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    told = run_python("\n".join(blocks("docs/language.md", "python")), tmp_path, monkeypatch)
    assert "chunks of at most 12 tokens by the tokenizer gpt2-1" in told
