"""Data by name, as the command line takes them."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..network import Network
from ..support.ambient import in_settled
from ..support.downloads import hub_folder, is_hub_id
from ..support.reading import told
from .data import Data
from .readers.tokenizer import Tokenizer, bare_task


@told(DataError)
@in_settled
def load_data(
    spec: str,
    *,
    seed: int = 0,
    limit: int | None = None,
    download: bool = False,
    tokenizer: str | Path | Network | None = None,
) -> Data:
    """Load data by name.

    Args:
        spec: ``digits``; ``parquet:DIR`` (Hugging Face image layout); ``folder:DIR`` (a sub-folder for each
            class); ``cifar10``, ``cifar100``, ``mnist``, ``fashion-mnist``, ``svhn``, each with ``:DIR``
            (default ``data``); ``text:FILE`` (a plain file in chunks) or ``text:FILE.parquet?column=text&label=label``
            (also .csv, .tsv, .jsonl, or a folder of train and test tables).
        seed: which samples are held out for validation where the source has no such split; never test.
        limit: read at most so many samples of the source's train part and of its test part.
        download: let torchvision fetch a missing set.
        tokenizer: for text: the network that is to read it (its tokenizer and length are taken), its name
            ``hf:FOLDER``, or a folder.

    Raises:
        DataError: if the spec is unknown or its content cannot be used.
        MissingExtraError: if the loader needs a package that is not installed.

    Returns:
        Data, as yet unread where the source allows it.

    Examples:
        >>> digits = ms.load_data("digits")
        >>> digits.size("test"), digits.sample_shape
        (597, (1, 8, 8))
    """
    kind, _, rest = spec.partition(":")
    if limit is not None and limit < 1:
        raise DataError(f"limit must be 1 or more, found {limit}.")
    if kind == "digits" and not rest:
        from .readers.digits import load_digits

        return load_digits(seed=seed, limit=limit)
    if kind == "parquet" and rest:
        from .readers.parquet import load_parquet

        return load_parquet(rest, seed=seed, limit=limit)
    if kind == "folder" and rest:
        from .readers.folder import load_folder

        return load_folder(rest, seed=seed, limit=limit)
    if kind == "text" and rest:
        from .readers.text import load_text

        reader, length, features = _reader(tokenizer)
        return load_text(rest, reader, length, features=features, seed=seed, limit=limit)
    from .readers.torchvision import SETS, load_torchvision

    if kind == "torchvision":
        kind, _, rest = rest.partition(":")
    if kind in SETS:
        return load_torchvision(kind, rest or "data", seed=seed, limit=limit, download=download)
    known = ", ".join(["digits", "parquet:DIR", "folder:DIR", "text:FILE", *(f"{name}:DIR" for name in SETS)])
    raise DataError(f"The data {spec!r} is not known: expected one of {known}.")


def _reader(tokenizer: str | Path | Network | None) -> tuple[str | Path | Tokenizer | None, int | None, bool]:
    """The tokenizer, the tokens that a network takes, and whether it has no head, so that texts need no labels."""
    if isinstance(tokenizer, Network):
        found = getattr(tokenizer.view, "tokenizer", None)
        if found is None:
            raise DataError(
                f"The network {tokenizer.name!r} carries no tokenizer: expected one in its folder, or tokenizer= a "
                f"folder."
            )
        return found, getattr(tokenizer.view, "length", None), not tokenizer.has_head
    if tokenizer is None:
        return None, None, False
    folder, _, query = str(tokenizer).removeprefix("hf:").partition("?")
    if is_hub_id(folder):
        folder = str(hub_folder(folder, weights=False))
    options = dict(item.split("=", 1) for item in query.split("&") if "=" in item)
    size = options.get("size", "")
    return folder, int(size) if size.isdecimal() else None, options.get("task", bare_task(folder)) == "features"
