"""For the site: pages that are made of something else, so that nothing is written twice.

The notebooks with their outputs become tutorials, and the help of each command the page of all commands.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from modelstitch.cli import cli


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages to those of the folder."""
    for path in sorted((Path(config.docs_dir) / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"tutorials/{path.stem}.md", content=tutorial(path)))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mark figures of two panels, which are too small on a telephone."""

    def marked(image: re.Match[str]) -> str:
        place = Path(config.docs_dir, page.file.src_uri).parent / image[1]
        return f"{image[0]}{{ .wide }}" if place.is_file() and is_wide(place.read_text(encoding="utf-8")) else image[0]

    return re.sub(r"!\[[^\]]*\]\(([^)]+\.svg)\)(?!\{)", marked, markdown)


def is_wide(svg: str) -> bool:
    """Whether a drawing is half as wide again as it is high, or more."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    return box is not None and float(box[1]) >= 1.5 * float(box[2])


def tutorial(path: Path) -> str:
    """A notebook as Markdown, its outputs as they were shown."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    told = [text for cell in cells for text in shown(cell)]
    told.insert(1, f"[This page as a notebook](../notebooks/{path.name})")
    return "\n\n".join(told) + "\n"


def shown(cell: dict[str, Any]) -> list[str]:
    """What a reader sees of one cell."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source.split("\n\n", 1)
    found = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        data = output["data"]
        text = "".join(data["text/plain"])
        inside = "".join(data["text/html"]) if "text/html" in data else f"<pre>{html.escape(text)}</pre>"
        lines = "\n".join(line for line in inside.splitlines() if line.strip())  # an empty line would end the block
        found.append(f'<div class="output">\n{lines}\n</div>')
    return found


def commands() -> str:
    """The help of every command."""
    told = ["# All commands", "What each command says of itself. [How they are used](../command-line.md)."]
    for name in ("", *cli.list_commands(None)):  # type: ignore[arg-type]
        text = (
            CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="modelstitch", catch_exceptions=False).output
        )
        told += [f"## {name or 'modelstitch'}", f"```text\n{text.rstrip()}\n```"]
    return "\n\n".join(told) + "\n"
