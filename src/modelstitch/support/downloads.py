"""Published weights.

Out of a library's own cache, else by its own downloader, else a sentence that says how to get them.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..errors import MissingExtraError, SourceError, StitchError, first_line
from .optional import need

T = TypeVar("T")
PATIENCE = 4.0  # seconds for an answer of a server
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_PLAIN = ("*.json", "*.txt", "*.model", "tokenizer*", "*.jinja")
_SAFE = ("model.safetensors", "model-*.safetensors")
_PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin")


def obtained(
    make: Callable[[], T],
    *,
    what: str,
    host: str,
    offline: str,
    local: Path | None = None,
    seed: int = 0,
    published: bool = False,
) -> T:
    """What ``make`` gives, from the library's cache where that holds it, else over the network.

    Args:
        what: for the sentence: "the published weights of timm resnet18.a1_in1k".
        host: where the library downloads from; nothing is tried if it does not answer.
        offline: how to get them without a network, the middle of a sentence.
        local: the file in the cache, where the library's downloader cannot be told to look there alone.
        seed: of the random numbers that making it draws.
        published: whether these are a network's weights, for which a file or random ones may stand.

    Raises:
        SourceError: if they cannot be had.
    """

    def made() -> T:
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    reason: Exception
    with _hub_offline() as was_offline:
        try:
            if local is not None and not local.is_file():
                raise FileNotFoundError(f"no file {local}")
            return made()
        except StitchError:
            raise
        except Exception as error:  # whatever a library raises where its cache holds nothing, or something unfit
            reason = error
    if not (was_offline and local is None) and reachable(host):
        try:
            return made()
        except Exception as error:  # whatever its downloader raises
            reason = error
    line = first_line(reason)[:160].rstrip(".")
    ways = (
        ', give a file with weights=FILE, or ask for random weights with weights="random" (--random-weights)'
        if published
        else ""
    )
    raise SourceError(
        f"{what[0].upper()}{what[1:]} cannot be had ({type(reason).__name__}: {line}): expected them in the library's "
        f"cache or a network that reaches {host}; {offline}{ways}."
    ) from reason


def reachable(host: str) -> bool:
    """Whether a server answers soon: the libraries' own clients try for a minute and more."""
    found: list[bool] = []

    def knock() -> None:
        try:
            socket.create_connection((host, 443), timeout=PATIENCE).close()
            found.append(True)
        except OSError:
            found.append(False)

    thread = threading.Thread(target=knock, daemon=True)  # a resolver may hang for longer than its caller waits
    thread.start()
    thread.join(PATIENCE)
    return found == [True]


def hub_host() -> str:
    """The server of the Hugging Face hub."""
    endpoint: str = need("huggingface_hub.constants").ENDPOINT
    return endpoint.partition("://")[2].partition("/")[0].partition(":")[0]


def hub_hint(repo: str) -> str:
    """How to bring a model of the hub to a machine without a network, the middle of a sentence."""
    name = "/".join(repo.partition("@")[0].split("/")[:2])
    cache = need("huggingface_hub.constants").HF_HUB_CACHE
    return f"run `hf download {name}` elsewhere and copy its folder models--{name.replace('/', '--')} into {cache}"


def is_hub_id(path: str) -> bool:
    """Whether a path may name a model of the hub, ``org/name`` or ``org/name@revision``, and is no folder here."""
    return _HUB_ID.fullmatch(path) is not None and not Path(path).exists()


def hub_folder(request_path: str, *, weights: bool) -> Path:
    """The folder of a model on the hub, in the cache of its client.

    Args:
        weights: whether the weights are needed, too, or configuration and tokenizer alone.

    Raises:
        SourceError: if it cannot be had.
    """
    hub: Any = need("huggingface_hub")
    repo, _, revision = request_path.partition("@")

    def fetch(*patterns: str) -> Path:
        return Path(hub.snapshot_download(repo, revision=revision or None, allow_patterns=list(patterns)))

    def make() -> Path:
        folder = fetch(*_PLAIN, *(_SAFE if weights else ()))
        if weights and not any(folder.glob("*.safetensors")):
            folder = fetch(*_PLAIN, *_PICKLED)
        if not (folder / "config.json").is_file():
            raise FileNotFoundError("no config.json")
        if weights and not any([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]):
            raise FileNotFoundError("no weights")
        return folder

    return obtained(
        make,
        published=weights,
        host=hub_host(),
        what=f"the {'published weights' if weights else 'configuration'} of Hugging Face {request_path}",
        offline=f"{hub_hint(repo)}, name a folder with hf:FOLDER",
    )


@contextmanager
def _hub_offline() -> Iterator[bool]:
    """The client of the hub looks into its cache alone; yields whether it did so before."""
    try:
        constants: Any = need("huggingface_hub.constants")
    except MissingExtraError:  # no client: nothing to hold back
        yield False
        return
    before = bool(constants.HF_HUB_OFFLINE)
    constants.HF_HUB_OFFLINE = True
    try:
        yield before
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def quiet(*loggers: str | None) -> Iterator[None]:
    """Without what libraries log on the way (None: the root's): what matters of it is told in errors."""
    found = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in found]
    try:
        for logger in found:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(found, levels):
            logger.setLevel(level)
