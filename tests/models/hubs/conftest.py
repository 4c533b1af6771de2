"""No test of a library's networks looks at caches that are there, or asks a server."""

from pathlib import Path

import pytest

from hub_caches import empty_caches


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and no server that answers."""
    return empty_caches(tmp_path, monkeypatch)
