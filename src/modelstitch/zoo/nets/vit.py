"""A small vision transformer for small images, built by timm."""

from __future__ import annotations

from torch import nn

from ...errors import MissingExtraError, first_line


def vit(
    dim: int = 192,
    depth: int = 6,
    heads: int = 3,
    patch: int = 4,
    size: int = 32,
    classes: int = 10,
    in_channels: int = 3,
) -> nn.Module:
    """timm's VisionTransformer: patch_embed, blocks.0, ..., norm, head. The paper's has dim 768 and depth 12.

    Images are ``size`` x ``size``, 32 as in CIFAR by default.

    Raises:
        MissingExtraError: if timm is not installed.
    """
    try:
        from timm.models.vision_transformer import VisionTransformer
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision built for another torch
        raise MissingExtraError(
            f"The net 'vit' needs timm, which does not load ({first_line(error)}): pip install 'modelstitch[timm]'."
        ) from error
    module: nn.Module = VisionTransformer(
        img_size=size,
        patch_size=patch,
        in_chans=in_channels,
        num_classes=classes,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
    )
    return module
