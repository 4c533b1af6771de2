"""Committed pages say nothing of the machine that made them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = re.compile(r"/(?:root|usr|opt|work)/\S+|/\S*/(?:site|dist)-packages/")


def test_no_page_names_a_folder_of_the_machine():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.txt")]
    found = {str(page.relative_to(ROOT)): FOLDERS.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert {name: paths for name, paths in found.items() if paths} == {}
