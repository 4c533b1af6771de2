"""A figure that a notebook shows by itself."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

_FINE = 2  # points of the picture for one of the page, each way


class Sheet(Figure):
    """A figure of matplotlib that no global list holds, and that a notebook shows without ``%matplotlib``."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and the size at which a page shows it."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight", dpi=100 * _FINE)
        content = picture.getvalue()
        width, height = (int.from_bytes(content[at : at + 4], "big") // _FINE for at in (16, 20))  # as a .png has them
        return content, {"width": width, "height": height}
