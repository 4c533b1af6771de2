"""Views as plain values, and back: for what is kept in files. A view that is a user's own code has no such values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import NetworkError
from .normalise import Normalise
from .published import LIBRARIES, Published, published


def plain_view(view: Any) -> dict[str, Any] | None:
    """All that makes a view, as values of JSON; None where it is code."""
    if type(view) is Normalise:
        return view.describe()
    if type(view) is Published:
        return {
            "view": "published",
            "library": view.library,
            "settings": json.loads(view.settings),
            "channels": view.channels,
        }
    return None


def view_of_plain(values: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The view that ``plain_view`` described.

    Raises:
        NetworkError: the values are none, or the library refuses them.
    """
    try:
        if values["view"] == "normalise":
            return Normalise(values["mean"], values["std"], values["size"], values["interpolation"])
        if values["view"] == "published" and values["library"] in LIBRARIES:
            return published(values["library"], dict(values["settings"]), int(values["channels"]))
    except NetworkError:
        raise
    except (
        Exception
    ) as error:  # whatever a library raises on settings that it does not know, or where it is not installed
        raise NetworkError(
            f"The view {str(dict(values))[:120]} cannot be made ({type(error).__name__}: {error})."
        ) from error
    raise NetworkError(f"The view {str(dict(values))[:120]} is unknown: expected 'normalise' or 'published'.")
