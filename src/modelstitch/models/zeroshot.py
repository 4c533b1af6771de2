"""CLIP: an image tower, and class names as its classifier: frozen text embeddings, scored by cosine similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import SourceError

PROMPT = "a photo of a {}."


class ZeroShot(nn.Module):
    """Embeddings (n, d) -> scores (n, classes): the cosine with each class's text embedding, times a fixed scale."""

    text: Tensor
    scale: Tensor

    def __init__(self, text: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("text", F.normalize(text.detach().float(), dim=-1))
        self.register_buffer("scale", scale.detach().float())

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.scale * (F.normalize(embeddings, dim=-1) @ self.text.T.to(embeddings.dtype))


class OpenClipTower(nn.Module):
    """Images -> embeddings, or class scores with a head; layers are called as in the whole model (``visual. ...``)."""

    def __init__(self, visual: nn.Module, head: nn.Module | None = None) -> None:
        super().__init__()
        self.visual = visual
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.visual(images)
        return embeddings if self.head is None else self.head(embeddings)


class HFTower(nn.Module):
    """The same for CLIP and SigLIP of transformers: ``vision_model`` and, where there is one, ``visual_projection``."""

    def __init__(self, whole: Any, head: nn.Module | None = None) -> None:
        super().__init__()
        self.vision_model = whole.vision_model
        self.visual_projection = getattr(whole, "visual_projection", None)
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.vision_model(pixel_values=images).pooler_output
        if self.visual_projection is not None:
            embeddings = self.visual_projection(embeddings)
        return embeddings if self.head is None else self.head(embeddings)


def zero_shot(
    embed: Callable[[list[str]], Tensor], class_names: Sequence[str], prompt: str | None, scale: Tensor, spec: str
) -> ZeroShot:
    """The head of a model: every class name put into the prompt, embedded by the model's own text tower.

    Args:
        embed: texts -> embeddings (n, d).
        prompt: with one ``{}`` for the name; ``+`` stands for a space.

    Raises:
        SourceError: if the prompt has no place for the name.
    """
    text = (prompt or PROMPT).replace("+", " ")
    if text.count("{}") != 1:
        raise SourceError(
            f"The prompt {text!r} of {spec!r} has no single {{}}: expected one, where the class name goes."
        )
    with torch.no_grad():
        return ZeroShot(embed([text.replace("{}", name) for name in class_names]), scale)
