"""A stitch on the Hugging Face hub: its folder, with a card for a reader that is made from its record."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SourceError, first_line
from ..records.record import Record
from ..support.files import write_text
from ..support.optional import need
from ..support.shown import plain
from .export import card_of

CARD = "README.md"
_KEPT = ["stitch.json", "*.safetensors", CARD]


def put(stitched: Any, folder: Path, controls: Sequence[Record] = (), *, whole: bool = True) -> Path:
    """Write the stitch and its card into a folder, as the hub holds them."""
    stitched.save(folder, whole=whole)
    write_text(folder / CARD, card_text(card_of(stitched, controls)))
    return folder


def push(stitched: Any, repo: str, controls: Sequence[Record], **options: Any) -> str:
    """Send the folder to a repository of models, which is made if it is not there; its address."""
    hub = need("huggingface_hub")
    whole, private, token = options["whole"], options["private"], options["token"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = put(stitched, Path(scratch) / "stitch", controls, whole=whole)
        try:
            api = hub.HfApi(token=token)
            api.create_repo(repo, private=private, exist_ok=True)
            told = api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message=f"Stitch {stitched.seam}")
        except Exception as error:  # the hub's client raises many kinds
            raise SourceError(
                f"The stitch cannot be sent to {repo} ({type(error).__name__}: {first_line(error)}): expected a "
                "repository ORG/NAME that you may write to; log in with `hf auth login`, or give token=."
            ) from error
    return str(told)


def pull(repo: str, revision: str | None, token: str | None) -> Path:
    """The folder of a repository, from the cache or by the hub's client; a local folder is itself."""
    if Path(repo).is_dir():
        return Path(repo)
    hub = need("huggingface_hub")
    try:
        return Path(hub.snapshot_download(repo, revision=revision, token=token, allow_patterns=_KEPT))
    except Exception as error:  # the hub's client raises many kinds
        raise SourceError(
            f"The stitch {repo} cannot be had ({type(error).__name__}: {first_line(error)}): expected a repository "
            "ORG/NAME or a folder; on a machine without internet copy the folder there."
        ) from error


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown: what was stitched, what it costs, beside which controls, and what a reader must know."""
    unit = str((card["penalty"] or {}).get("unit", "points"))
    rows = [("penalty", card["penalty"]), ("error", card["error"]), ("error of the top alone", card["top_error"])]
    rows += [(f"penalty of the control {name}", found) for name, found in card["controls"].items()]
    lines = [
        "---",
        "library_name: modelstitch",
        "tags: [model-stitching]",
        "---",
        "",
        f"# {_text(card['seam'])}",
        "",
        "The bottom of one network, a small map, and the top of another: made by modelstitch.",
        "",
        f"| on the test split of {_text(card['data']['name'])} | value | 95 % interval |",
        "|---|---:|---:|",
        *(f"| {_text(name)}, {unit} | {found['value']:.2f} | {_interval(found)} |" for name, found in rows if found),
        "",
        f"The map: {_text(card['family'])}, fitted to {_text(card['objective'])}. A penalty is the error of the "
        "stitched model minus that of the top alone; it means something beside its controls only.",
        "",
        "| network | weights |",
        "|---|---|",
        *(
            f"| {_text(name)} | {_text(facts.get('weights') or 'as given')} |"
            for name, facts in card["networks"].items()
        ),
    ]
    if card["notes"]:
        lines += ["", *(f"- {_text(note)}" for note in card["notes"])]
    lines += [
        "",
        "```python",
        "import modelstitch as ms",
        "",
        's = ms.Stitched.from_hub("ORG/NAME")  # or the folder',
        "s.penalty, s.predict",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _interval(found: Mapping[str, Any]) -> str:
    return "" if found["interval"] is None else "{:.2f} to {:.2f}".format(*found["interval"])


def _text(text: object) -> str:
    """A text of others on one line, that is neither markup nor a cell's end."""
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in html.escape(plain(text), quote=False))
