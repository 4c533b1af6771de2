"""Small language models and their tokenizers, made on the spot.

A grammar, a vocabulary, random or briefly trained nets.
"""

from __future__ import annotations

import random
from pathlib import Path

import torch
import torch.nn.functional as F

SUBJECTS, VERBS, OBJECTS = ("cat", "dog", "bird", "fox"), ("sees", "hears", "finds"), ("fish", "seed", "bone", "egg")
PLACES = ("here", "there", "today", "again")
WORDS = ("the", "a", ".", *SUBJECTS, *VERBS, *OBJECTS, *PLACES)
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


def sentence(chance: random.Random) -> str:
    """One sentence of a small grammar: who it is decides what it finds."""
    at = chance.randrange(len(SUBJECTS))
    thing = OBJECTS[at] if chance.random() < 0.8 else chance.choice(OBJECTS)
    return f"the {SUBJECTS[at]} {chance.choice(VERBS)} a {thing} {chance.choice(PLACES)} ."


def corpus(n: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [sentence(chance) for _ in range(n)]


def tokenizer(folder: Path, *, words=WORDS, around: bool = False, lower: bool = False):
    """A word-level tokenizer saved to a folder; ``around`` puts [CLS] and [SEP] around every text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = [*SPECIAL.values(), *words]
    inner = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if lower:
        inner.normalizer = normalizers.Lowercase()
    if around:
        ends = [("[CLS]", names.index("[CLS]")), ("[SEP]", names.index("[SEP]"))]
        inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, **SPECIAL)
    made.save_pretrained(folder)
    return made


def small(kind: str, seed: int, *, layers: int = 2, width: int = 24, labels: int = 2, positions: int = 64):
    """A small network of a family with random weights."""
    import transformers as tf

    size = len(SPECIAL) + len(WORDS)
    plain = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "vocab_size": size,
        "max_position_embeddings": positions,
        "pad_token_id": 0,
    }
    gpt2 = {
        "n_embd": width,
        "n_layer": layers,
        "n_head": 2,
        "n_positions": positions,
        "vocab_size": size,
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    llama = {**plain, "num_key_value_heads": 1, "bos_token_id": None, "eos_token_id": None}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "gpt2":
            return tf.GPT2LMHeadModel(tf.GPT2Config(**gpt2)).eval()
        if kind == "gpt2-classifier":
            return tf.GPT2ForSequenceClassification(tf.GPT2Config(**gpt2, num_labels=labels)).eval()
        if kind == "llama":
            return tf.LlamaForCausalLM(tf.LlamaConfig(**llama)).eval()
        if kind == "bert":
            return tf.BertForSequenceClassification(tf.BertConfig(**plain, num_labels=labels)).eval()
        if kind == "bert-mlm":
            return tf.BertForMaskedLM(tf.BertConfig(**plain)).eval()
        if kind == "roberta":
            return tf.RobertaForSequenceClassification(tf.RobertaConfig(**plain, num_labels=labels)).eval()
    raise ValueError(kind)


def trained(module, data, *, steps: int, rate: float = 1e-2):
    """A few steps of Adam on the data's own labels."""
    optimiser, step = torch.optim.Adam(module.parameters(), rate), 0
    module.train()
    while step < steps:
        for batch in data.batches("fit", 32, seed=step):
            optimiser.zero_grad()
            F.cross_entropy(module(**batch.inputs).logits.flatten(0, -2), batch.labels.flatten()).backward()
            optimiser.step()
            step += 1
            if step == steps:
                break
    return module.eval()
