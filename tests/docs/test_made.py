"""Pages that are made: figures of two panels are marked, so that a telephone scrolls them instead of shrinking them."""

import importlib.util
from types import SimpleNamespace

import pytest

from pages import ROOT

SPEC = importlib.util.spec_from_file_location("made", ROOT / "docs" / "made.py")
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)


@pytest.mark.parametrize(
    ("image", "wide"),
    [("![two](two.svg)", True), ("![one](one.svg)", False), ("![none](none.svg)", False), ("![two](two.png)", False)],
)
def test_figures_of_two_panels_are_marked(tmp_path, image, wide):
    (tmp_path / "results").mkdir()
    for name, width in {"two": 600, "one": 400}.items():
        (tmp_path / "results" / f"{name}.svg").write_text(f'<svg viewBox="0 0 {width} 300.5"></svg>')
    page = SimpleNamespace(file=SimpleNamespace(src_uri="results/page.md"))
    config = SimpleNamespace(docs_dir=str(tmp_path))
    text = made.on_page_markdown(f"See {image}.", page=page, config=config, files=None)
    assert text == f"See {image}{'{ .wide }' if wide else ''}."
