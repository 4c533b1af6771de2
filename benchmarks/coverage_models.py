"""The architectures of the coverage table, and the stranger's list of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from coverage_hf import HF, MORE_HF, STRANGER_HF, build
from torch import nn

from modelstitch.zoo.nets import NETS

Built = tuple[nn.Module, Callable[[int], Any]]


@dataclass(frozen=True)
class Entry:
    """One model: how to build it with random weights, and its inputs for any batch size."""

    name: str
    group: str
    build: Callable[[], Built]
    data: str | int | None = None
    output: str | int | None = None


# Fewer blocks, by whichever of these the constructor takes, so that a run takes minutes.
_SHALLOW: list[dict[str, Any]] = [
    {"depths": (1, 1, 1, 1)},
    {"depths": (1, 1, 1)},
    {"depth": 2},
    {"layers": (1, 1, 1, 1)},
    {"layers": (1, 1, 1)},
    {"num_blocks": (1, 1, 1, 1)},
]


def shallow(name: str) -> dict[str, Any]:
    """What to tell timm so that a model has fewer blocks; empty where its constructor has no such choice."""
    import timm

    with torch.device("meta"):
        whole = sum(p.numel() for p in timm.create_model(name, pretrained=False).parameters())
        for options in _SHALLOW:
            try:
                module = timm.create_model(name, pretrained=False, **options)
                size = sum(p.numel() for p in module.parameters())
            except Exception:  # whatever a constructor says to a word it does not know
                continue
            return options if size < whole else {}  # accepted and no smaller: it is as shallow as it gets
    return {}


def of_timm(name: str, side: int | None, full: bool = False) -> Built:
    import timm

    options = {} if full else shallow(name)

    module = timm.create_model(name, pretrained=False, **options)
    channels, height, width = timm.data.resolve_model_data_config(module)["input_size"]
    shape = (channels, side or height, side or width)
    return module, lambda n: torch.randn(n, *shape)


def of_torchvision(name: str, side: int | None) -> Built:
    from torchvision import models

    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    module = models.get_model(name, weights=None, **options)
    return module, lambda n: torch.randn(n, 3, side or 224, side or 224)


def of_video(name: str, side: int) -> Built:
    from torchvision import models

    return models.get_model(name, weights=None), lambda n: torch.randn(n, 3, 16, side, side)


def of_zoo(name: str) -> Built:
    from modelstitch.zoo.nets import build

    return build(name, seed=0), lambda n: torch.randn(n, 3, 32, 32)


def _hf(specs: list[Any]) -> list[Entry]:
    entries = []
    for spec in specs:
        entries.append(Entry(f"hf:{spec[0]}", "Hugging Face", partial(build, spec), output=(*spec, None)[3]))
    return entries


# One model of every module of timm: the smallest real one. A side where the network takes any size.
TIMM: dict[str, tuple[str, int | None]] = {
    "beit": ("beit_base_patch16_224", None),
    "byoanet": ("halonet_h1", None),
    "byobnet": ("repvgg_a0", 96),
    "cait": ("cait_xxs24_224", None),
    "coat": ("coat_tiny", None),
    "convit": ("convit_tiny", None),
    "convmixer": ("convmixer_768_32", 96),
    "convnext": ("convnext_atto", 96),
    "cpubone": ("cpubone_nano", 96),
    "crossvit": ("crossvit_tiny_240", None),
    "csatv2": ("csatv2", 128),
    "cspnet": ("cs3darknet_focus_s", 96),
    "cspnext": ("cspnext_tiny", 96),
    "davit": ("davit_tiny", None),
    "deepseek_vit": ("deepseek_vit_412m", 112),
    "deit": ("deit_tiny_patch16_224", None),
    "densenet": ("densenet121", 64),
    "dla": ("dla46x_c", 96),
    "dpn": ("dpn48b", 96),
    "edgenext": ("edgenext_xx_small", 96),
    "efficientformer": ("efficientformer_l1", None),
    "efficientformer_v2": ("efficientformerv2_s0", None),
    "efficientnet": ("efficientnet_b0", 96),
    "efficientvim": ("efficientvim_m1", None),
    "efficientvit_mit": ("efficientvit_b0", 96),
    "efficientvit_msra": ("efficientvit_m0", None),
    "eva": ("eva02_tiny_patch14_224", None),
    "fasternet": ("fasternet_t0", 96),
    "fastvit": ("fastvit_t8", 96),
    "focalnet": ("focalnet_tiny_srf", 96),
    "gcvit": ("gcvit_xxtiny", None),
    "gemma4_vit": ("gemma4_vit_167m", 192),
    "ghostnet": ("ghostnet_050", 96),
    "hardcorenas": ("hardcorenas_b", 96),
    "hgnet": ("hgnetv2_b0", 96),
    "hiera": ("hiera_tiny_224", None),
    "hieradet_sam2": ("sam2_hiera_tiny", 224),
    "hrnet": ("hrnet_w18_small", 64),
    "iformer": ("iformer_t", None),
    "inception_next": ("inception_next_atto", 96),
    "inception_resnet_v2": ("inception_resnet_v2", 139),
    "inception_v3": ("inception_v3", 139),
    "inception_v4": ("inception_v4", 139),
    "lcnetv2": ("lcnetv2_small", 96),
    "levit": ("levit_128s", None),
    "lowformer": ("lowformer_b0", 96),
    "mambaout": ("mambaout_femto", 96),
    "maxxvit": ("maxvit_rmlp_pico_rw_256", None),
    "metaformer": ("poolformer_s12", 96),
    "mlp_mixer": ("mixer_s32_224", None),
    "mobilenetv3": ("mobilenetv3_small_050", 96),
    "mobilenetv5": ("mobilenetv5_base", 128),
    "mobilevit": ("mobilevit_xxs", 96),
    "mvitv2": ("mvitv2_tiny", None),
    "naflexvit": ("naflexvit_so150m2_patch16_reg1_gap", 96),
    "nasnet": ("nasnetalarge", 96),
    "nest": ("nest_tiny", None),
    "nextvit": ("nextvit_small", 96),
    "nfnet": ("nf_regnet_b0", 96),
    "pit": ("pit_ti_224", None),
    "pnasnet": ("pnasnet5large", 96),
    "pvt_v2": ("pvt_v2_b0", 96),
    "qwen3_vit": ("qwen3_vit_88m", 128),
    "rdnet": ("rdnet_tiny", 96),
    "regnet": ("regnetx_002", 96),
    "repghost": ("repghostnet_050", 96),
    "repvit": ("repvit_m1", 96),
    "res2net": ("res2next50", 96),
    "resnest": ("resnest14d", 96),
    "resnet": ("resnet18", 96),
    "resnetv2": ("resnetv2_18", 96),
    "rexnet": ("rexnet_100", 96),
    "selecsls": ("selecsls42", 96),
    "senet": ("legacy_seresnet18", 96),
    "sequencer": ("sequencer2d_s", None),
    "shvit": ("shvit_s1", 96),
    "sknet": ("skresnet18", 96),
    "starnet": ("starnet_s050", 96),
    "swiftformer": ("swiftformer_xs", 96),
    "swin_transformer": ("swin_tiny_patch4_window7_224", None),
    "swin_transformer_v2": ("swinv2_tiny_window8_256", None),
    "swin_transformer_v2_cr": ("swinv2_cr_tiny_224", None),
    "tiny_vit": ("tiny_vit_5m_224", None),
    "tnt": ("tnt_s_legacy_patch16_224", None),
    "tresnet": ("tresnet_m", 96),
    "twins": ("twins_svt_small", None),
    "vgg": ("vgg11", 64),
    "visformer": ("visformer_tiny", None),
    "vision_transformer": ("vit_tiny_patch16_224", None),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", None),
    "vision_transformer_relpos": ("vit_srelpos_small_patch16_224", None),
    "vision_transformer_sam": ("samvit_base_patch16_224", None),
    "vitamin": ("vitamin_small_224", None),
    "volo": ("volo_d1_224", None),
    "vovnet": ("ese_vovnet19b_slim_dw", 96),
    "xception": ("legacy_xception", 96),
    "xception_aligned": ("xception41p", 96),
    "xcit": ("xcit_nano_12_p8_224", None),
}
STRANGER_TIMM: dict[str, int | None] = {
    "resnet26d": 64,
    "ecaresnet26t": 64,
    "resnext26ts": 64,
    "efficientnet_lite0": 64,
    "mobilenetv2_050": 64,
    "mobilenetv4_conv_small": 64,
    "tinynet_e": 64,
    "mnasnet_small": 64,
    "fbnetc_100": 64,
    "regnety_002": 64,
    "convnextv2_atto": 64,
    "repvgg_a1": 64,
    "mobileone_s1": 64,
    "darknet17": 64,
    "gernet_s": 64,
    "dla34": 64,
    "dm_nfnet_f0": 64,
    "resnetv2_50": 64,
    "vovnet39a": 64,
    "ghostnetv2_100": 64,
    "hgnet_tiny": 64,
    "mobilevitv2_050": 64,
    "caformer_s18": 64,
    "resmlp_12_224": None,
    "gmlp_ti16_224": None,
    "deit_tiny_distilled_patch16_224": None,
    "vit_tiny_patch16_384": None,
    "levit_conv_128s": None,
    "pit_ti_distilled_224": None,
    "xcit_nano_12_p16_224": None,
}
TORCHVISION: dict[str, int | None] = {
    "alexnet": 64,
    "convnext_tiny": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "efficientnet_v2_s": 64,
    "googlenet": 64,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "regnet_x_400mf": 64,
    "regnet_y_400mf": 64,
    "resnet18": 64,
    "resnext50_32x4d": 64,
    "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64,
    "swin_t": 64,
    "swin_v2_t": 64,
    "vgg11": 64,
    "vgg11_bn": 64,
    "vit_b_32": 224,
    "wide_resnet50_2": 64,
}

# Large or costly ones come last.
_LATE = (
    "byoanet",
    "deepseek_vit",
    "gemma4_vit",
    "qwen3_vit",
    "nasnet",
    "pnasnet",
    "naflexvit",
    "hrnet",
    "volo",
    "xcit",
)
TIMM = {k: TIMM[k] for k in sorted(TIMM, key=lambda k: k in _LATE)}

MORE_TIMM: dict[str, int | None] = {
    "coatnet_pico_rw_224": None,
    "convformer_s18": 96,
    "efficientnetv2_rw_t": 96,
    "fbnetv3_b": 96,
    "mixnet_s": 96,
    "regnetz_005": 96,
    "resnet34": 96,
    "semnasnet_075": 96,
    "spnasnet_100": 96,
    "swin_s3_tiny_224": None,
    "tf_efficientnet_lite1": 96,
    "vit_small_patch32_224": None,
}
VIDEO = {"mc3_18": 56, "mvit_v1_b": 224, "r2plus1d_18": 56, "r3d_18": 56, "s3d": 224, "swin3d_t": 64}

TABLE: list[Entry] = [
    *_hf(HF),
    *_hf(MORE_HF),
    *(Entry(f"timm:{name}", "timm", partial(of_timm, name, side)) for name, side in TIMM.values()),
    *(Entry(f"timm:{name}", "timm", partial(of_timm, name, side)) for name, side in MORE_TIMM.items()),
    *(Entry(f"torchvision:{n}", "torchvision", partial(of_torchvision, n, side)) for n, side in TORCHVISION.items()),
    *(Entry(f"torchvision:{n}", "torchvision, video", partial(of_video, n, side)) for n, side in VIDEO.items()),
    *(Entry(f"zoo:{name}", "zoo", partial(of_zoo, name)) for name in NETS if name != "small-resnet"),
]
STRANGERS: list[Entry] = [
    *(Entry(f"timm:{name}", "timm", partial(of_timm, name, side, True)) for name, side in STRANGER_TIMM.items()),
    *_hf(STRANGER_HF),
]
