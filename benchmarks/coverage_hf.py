"""Hugging Face architectures for the coverage table: built from small configs, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Callable[[int], dict[str, Tensor]]

LENGTH, VOCABULARY = 16, 99
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CAUSAL = TEXT | {"num_key_value_heads": 2, "head_dim": 8}
SEQ2SEQ: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = TEXT | {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
VISION: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
AUDIO: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 32,
    "conv_dim": (16, 16),
    "conv_stride": (4, 4),
    "conv_kernel": (8, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
}


def text(n: int) -> dict[str, Tensor]:
    """Token ids, the odd samples padded at the end."""
    ids, mask = torch.randint(3, VOCABULARY, (n, LENGTH)), torch.ones(n, LENGTH, dtype=torch.int64)
    mask[1::2, LENGTH - 4 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


def to_text(n: int) -> dict[str, Tensor]:
    return text(n) | {"decoder_input_ids": torch.randint(3, VOCABULARY, (n, 7))}


def images(side: int = 32) -> Inputs:
    return lambda n: {"pixel_values": torch.randn(n, 3, side, side)}


def images_then_text(n: int) -> dict[str, Tensor]:
    return images()(n) | text(n)


def images_then_boxes(n: int) -> dict[str, Tensor]:
    return text(n) | {"bbox": torch.randint(0, 50, (n, LENGTH, 4)).sort(-1).values}


def video(n: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(n, 4, 3, 32, 32)}


def waves(n: int) -> dict[str, Tensor]:
    return {"input_values": torch.randn(n, 1600)}


def spectrogram(n: int) -> dict[str, Tensor]:
    return {"input_values": torch.randn(n, 64, 32)}


def speech(n: int) -> dict[str, Tensor]:
    return {"input_features": torch.randn(n, 16, 40), "decoder_input_ids": torch.randint(3, VOCABULARY, (n, 7))}


def vary(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    return config | more


TOWERS: dict[str, Any] = {
    "text_config": TEXT | {"projection_dim": 16},
    "vision_config": VISION | {"projection_dim": 16},
    "projection_dim": 16,
}

REFUSED = {
    "SwinForImageClassification": ("num_attention_heads", "num_hidden_layers", "hidden_size"),
    "Swinv2ForImageClassification": ("num_attention_heads", "num_hidden_layers", "hidden_size"),
    "XLNetForSequenceClassification": ("max_position_embeddings",),
    "FunnelForSequenceClassification": ("num_hidden_layers",),
}

# Name of the class, what its config says, its inputs, and (where it is not the first) the output.
Spec = tuple[str, dict[str, Any], Inputs] | tuple[str, dict[str, Any], Inputs, str]

HF: list[Spec] = [
    ("BertForSequenceClassification", TEXT, text),
    ("RobertaForSequenceClassification", TEXT, text),
    ("XLMRobertaForMaskedLM", TEXT, text),
    ("AlbertForMaskedLM", vary(TEXT, embedding_size=16), text),
    ("DistilBertForSequenceClassification", vary(TEXT, dim=32, n_heads=4, n_layers=2, hidden_dim=64), text),
    (
        "DebertaV2ForSequenceClassification",
        vary(TEXT, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"]),
        text,
    ),
    ("MPNetForSequenceClassification", TEXT, text),
    ("ConvBertForSequenceClassification", vary(TEXT, embedding_size=32), text),
    (
        "SqueezeBertForSequenceClassification",
        vary(
            TEXT,
            embedding_size=32,
            q_groups=2,
            k_groups=2,
            v_groups=2,
            post_attention_groups=1,
            intermediate_groups=2,
            output_groups=2,
        ),
        text,
    ),
    ("FNetForSequenceClassification", TEXT, lambda n: {"input_ids": text(n)["input_ids"]}),
    (
        "ModernBertForSequenceClassification",
        vary(TEXT, global_attn_every_n_layers=2, local_attention=4, cls_token_id=1, sep_token_id=2),
        text,
    ),
    ("RoFormerForSequenceClassification", vary(TEXT, embedding_size=32), text),
    ("XLNetForSequenceClassification", vary(TEXT, d_model=32, n_layer=2, n_head=4, d_inner=64), text),
    (
        "NystromformerForSequenceClassification",
        vary(TEXT, num_landmarks=LENGTH, segment_means_seq_len=LENGTH, conv_kernel_size=3),
        text,
    ),
    ("BigBirdForSequenceClassification", vary(TEXT, attention_type="original_full"), text),
    (
        "FunnelForSequenceClassification",
        vary(TEXT, block_sizes=[1, 1], d_model=32, n_head=4, d_head=8, d_inner=64, num_decoder_layers=1),
        text,
    ),
    ("GPT2LMHeadModel", vary(TEXT, n_embd=32, n_layer=2, n_head=4, n_positions=64), text),
    (
        "GPTNeoForCausalLM",
        vary(TEXT, num_layers=2, attention_types=[[["global", "local"], 1]], window_size=4, num_heads=4),
        text,
    ),
    ("GPTJForCausalLM", vary(TEXT, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4), text),
    ("GPTNeoXForCausalLM", TEXT, text),
    ("OPTForCausalLM", vary(TEXT, ffn_dim=64, word_embed_proj_dim=32), text),
    ("BloomForCausalLM", vary(TEXT, n_layer=2, n_head=4), text),
    ("LlamaForCausalLM", CAUSAL, text),
    ("MistralForCausalLM", vary(CAUSAL, sliding_window=8), text),
    ("Qwen2ForCausalLM", CAUSAL, text),
    ("Qwen3ForCausalLM", CAUSAL, text),
    ("GemmaForCausalLM", CAUSAL, text),
    ("Gemma2ForCausalLM", vary(CAUSAL, sliding_window=8), text),
    ("PhiForCausalLM", vary(TEXT, partial_rotary_factor=0.5), text),
    ("Phi3ForCausalLM", vary(CAUSAL, sliding_window=8), text),
    ("FalconForCausalLM", vary(TEXT, alibi=False), text),
    ("MptForCausalLM", vary(TEXT, d_model=32, n_heads=4, n_layers=2, max_seq_len=64), text),
    ("StableLmForCausalLM", vary(CAUSAL, partial_rotary_factor=0.5), text),
    ("Olmo2ForCausalLM", CAUSAL, text),
    ("MixtralForCausalLM", vary(CAUSAL, num_local_experts=4, num_experts_per_tok=2), text),
    ("MambaForCausalLM", vary(TEXT, state_size=4), lambda n: {"input_ids": text(n)["input_ids"]}),
    ("T5ForConditionalGeneration", T5, to_text),
    ("BartForConditionalGeneration", SEQ2SEQ, to_text),
    ("PegasusForConditionalGeneration", SEQ2SEQ, to_text),
    ("MarianMTModel", vary(SEQ2SEQ, decoder_vocab_size=VOCABULARY), to_text),
    ("M2M100ForConditionalGeneration", SEQ2SEQ, to_text),
    ("ViTForImageClassification", VISION, images()),
    ("DeiTForImageClassificationWithTeacher", VISION, images()),
    ("BeitForImageClassification", vary(VISION, use_relative_position_bias=True), images()),
    (
        "SwinForImageClassification",
        vary(VISION, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4),
        images(),
    ),
    (
        "Swinv2ForImageClassification",
        vary(VISION, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4),
        images(),
    ),
    (
        "ConvNextForImageClassification",
        vary(VISION, patch_size=2, hidden_sizes=[16, 32], depths=[2, 2], num_stages=2),
        images(),
    ),
    (
        "ConvNextV2ForImageClassification",
        vary(VISION, patch_size=2, hidden_sizes=[16, 32], depths=[2, 2], num_stages=2),
        images(),
    ),
    (
        "ResNetForImageClassification",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "layer_type": "basic"},
        images(),
    ),
    (
        "RegNetForImageClassification",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "groups_width": 8},
        images(),
    ),
    ("MobileNetV2ForImageClassification", {"depth_multiplier": 0.25, "image_size": 32}, images()),
    (
        "MobileViTForImageClassification",
        vary(VISION, patch_size=2, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 32]),
        images(64),
    ),
    ("Dinov2ForImageClassification", VISION, images()),
    ("DINOv3ViTModel", VISION, images()),
    (
        "LevitForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [16, 24, 32],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
            "down_ops": [["Subsample", 8, 2, 4, 2, 2], ["Subsample", 8, 3, 4, 2, 2]],
        },
        images(64),
    ),
    ("PoolFormerForImageClassification", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, images(64)),
    (
        "PvtV2ForImageClassification",
        {
            "image_size": 64,
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 3, 4],
        },
        images(64),
    ),
    (
        "SegformerForImageClassification",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 3, 4]},
        images(64),
    ),
    ("CvtForImageClassification", {"embed_dim": [8, 16, 32], "num_heads": [1, 2, 4], "depth": [1, 2, 3]}, images(64)),
    (
        "FocalNetForImageClassification",
        vary(
            VISION,
            patch_size=2,
            embed_dim=16,
            hidden_sizes=[16, 32],
            depths=[2, 2],
            focal_levels=[1, 1],
            focal_windows=[3, 3],
        ),
        images(),
    ),
    ("YolosForObjectDetection", vary(VISION, image_size=[32, 32], num_detection_tokens=5), images()),
    ("Wav2Vec2ForCTC", AUDIO, waves),
    ("HubertForCTC", AUDIO, waves),
    (
        "WhisperForConditionalGeneration",
        vary(SEQ2SEQ, max_source_positions=20, max_target_positions=20, num_mel_bins=16),
        speech,
    ),
    ("ASTForAudioClassification", vary(VISION, patch_size=8, num_mel_bins=32, max_length=64), spectrogram),
    ("CLIPModel", TOWERS, images_then_text, "logits_per_image"),
    ("CLIPVisionModelWithProjection", vary(VISION, projection_dim=16), images()),
    ("CLIPTextModelWithProjection", vary(TEXT, projection_dim=16), text),
    ("SiglipModel", TOWERS, images_then_text, "logits_per_image"),
    ("ViltModel", vary(TEXT, **VISION, modality_type_vocab_size=2), lambda n: text(n) | images()(n)),
    ("TimesformerForVideoClassification", vary(VISION, num_frames=4), video),
]

# Tried later, after layers of any layout could be cut.
MORE_HF: list[Spec] = [
    ("CamembertForSequenceClassification", TEXT, text),
    ("Data2VecTextForSequenceClassification", TEXT, text),
    ("IBertForSequenceClassification", TEXT, text),
    ("XmodForSequenceClassification", vary(TEXT, languages=["en_XX"], default_language="en_XX"), text),
    ("LukeForSequenceClassification", vary(TEXT, entity_vocab_size=9, entity_emb_size=16), text),
    ("BioGptForCausalLM", TEXT, text),
    ("OlmoForCausalLM", CAUSAL, text),
    ("Qwen3MoeForCausalLM", vary(CAUSAL, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16), text),
    ("PersimmonForCausalLM", vary(TEXT, partial_rotary_factor=0.5), text),
    ("GPTBigCodeForCausalLM", vary(TEXT, n_embd=32, n_layer=2, n_head=4, n_positions=64), text),
    ("Cohere2ForCausalLM", vary(CAUSAL, sliding_window=8), text),
    ("HeliumForCausalLM", CAUSAL, text),
    ("MT5ForConditionalGeneration", T5, to_text),
    ("BlenderbotForConditionalGeneration", SEQ2SEQ, to_text),
    ("VivitForVideoClassification", vary(VISION, num_frames=4, tubelet_size=[2, 8, 8]), video),
    ("VideoMAEForVideoClassification", vary(VISION, num_frames=4, tubelet_size=2), video),
    ("Data2VecVisionForImageClassification", vary(VISION, use_relative_position_bias=True), images()),
    ("Dinov2WithRegistersForImageClassification", VISION, images()),
    ("IJepaForImageClassification", VISION, images()),
    ("MobileNetV1ForImageClassification", {"depth_multiplier": 0.25, "image_size": 32}, images()),
    (
        "EfficientNetForImageClassification",
        {"image_size": 64, "width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640},
        images(64),
    ),
    (
        "SwiftFormerForImageClassification",
        {"image_size": 64, "depths": [1, 1, 1, 1], "embed_dims": [8, 16, 24, 32]},
        images(64),
    ),
    (
        "SegformerForSemanticSegmentation",
        {
            "hidden_sizes": [8, 16, 24, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 3, 4],
            "decoder_hidden_size": 16,
        },
        images(64),
    ),
    ("Data2VecAudioForCTC", vary(AUDIO, conv_pos_kernel_size=3), waves),
    ("UniSpeechForCTC", AUDIO, waves),
    ("SEWForCTC", vary(AUDIO, squeeze_factor=2), waves),
]

STRANGER_HF: list[Spec] = [
    ("ElectraForSequenceClassification", vary(TEXT, embedding_size=16), text),
    ("DebertaForSequenceClassification", vary(TEXT, relative_attention=True, pos_att_type=["p2c", "c2p"]), text),
    ("RemBertForSequenceClassification", vary(TEXT, input_embedding_size=16, output_embedding_size=16), text),
    ("MegatronBertForSequenceClassification", TEXT, text),
    ("ErnieForSequenceClassification", TEXT, text),
    ("LongformerForSequenceClassification", vary(TEXT, attention_window=8), text),
    ("EsmForSequenceClassification", vary(TEXT, mask_token_id=3, position_embedding_type="rotary"), text),
    (
        "MobileBertForSequenceClassification",
        vary(TEXT, embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16, num_feedforward_networks=2),
        text,
    ),
    ("LayoutLMForSequenceClassification", vary(TEXT, max_2d_position_embeddings=64), images_then_boxes),
    ("Gemma3ForCausalLM", vary(CAUSAL, sliding_window=8), text),
    ("GraniteForCausalLM", CAUSAL, text),
    ("Starcoder2ForCausalLM", vary(CAUSAL, sliding_window=8), text),
    ("CohereForCausalLM", CAUSAL, text),
    ("NemotronForCausalLM", CAUSAL, text),
    ("GlmForCausalLM", CAUSAL, text),
    ("SmolLM3ForCausalLM", CAUSAL, text),
    ("CodeGenForCausalLM", vary(TEXT, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4), text),
    ("XGLMForCausalLM", vary(TEXT, d_model=32, num_layers=2, attention_heads=4, ffn_dim=64), text),
    (
        "Qwen2MoeForCausalLM",
        vary(
            CAUSAL, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16
        ),
        text,
    ),
    ("GptOssForCausalLM", vary(CAUSAL, num_local_experts=4, num_experts_per_tok=2, sliding_window=8), text),
    ("LongT5ForConditionalGeneration", T5, to_text),
    ("MBartForConditionalGeneration", SEQ2SEQ, to_text),
    (
        "HieraForImageClassification",
        {
            "image_size": [64, 64],
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "masked_unit_size": [8, 8],
        },
        images(64),
    ),
    ("MobileViTV2ForImageClassification", {"image_size": 64, "width_multiplier": 0.25}, images(64)),
    (
        "BitForImageClassification",
        {
            "embedding_size": 16,
            "hidden_sizes": [32, 64],
            "depths": [1, 1],
            "num_groups": 2,
            "layer_type": "preactivation",
        },
        images(),
    ),
    ("ViTMSNForImageClassification", VISION, images()),
    ("TextNetForImageClassification", {"image_size": [64, 64]}, images(64)),
    ("WavLMForCTC", AUDIO, waves),
    ("VideoMAEForVideoClassification", vary(VISION, num_frames=4, tubelet_size=2), video),
    ("Blip2VisionModel", VISION, images()),
]


def build(spec: Spec) -> tuple[nn.Module, Inputs]:
    """The module of a spec, and what makes its inputs."""
    import transformers

    kind = getattr(transformers, spec[0])
    known = kind.config_class()
    refused = REFUSED.get(spec[0], ())  # sizes that a config derives, and does not let one set
    given = {key: value for key, value in spec[1].items() if key not in refused and hasattr(known, key)}
    return kind(kind.config_class(**given)), spec[2]
