"""Tiny models whose tokens are words: encoders as their bodies alone, and causal models to put a head on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedTokenizerFast

PAD, CLS, SEP, UNK = "<pad>", "<s>", "</s>", "<unk>"
ENCODERS = ("bert", "roberta")
_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_CAUSAL = {"gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}, "llama": {"num_key_value_heads": 2}}


def word_tokenizer(words: Iterable[str], *, encoder: bool = True) -> PreTrainedTokenizerFast:
    """A token a word; an encoder's begins with one of its own, and ends each text with another."""
    vocabulary = [PAD, CLS, SEP, UNK, *dict.fromkeys(words)]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNK))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if not encoder:
        return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=core, bos_token=CLS, eos_token=SEP, pad_token=PAD, unk_token=UNK
        )
    core.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=[(CLS, 1), (SEP, 2)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, cls_token=CLS, sep_token=SEP, pad_token=PAD, unk_token=UNK,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def write_body(folder: Path, words: Iterable[str], family: str = "bert", seed: int = 1) -> Path:
    """A model of `family` with random weights, as it would come from pre-training, and its tokenizer."""
    is_encoder = family in ENCODERS
    tokenizer = word_tokenizer(words, encoder=is_encoder)
    positions = {"max_position_embeddings": 66, "type_vocab_size": 2} if family == "roberta" else {}
    config = AutoConfig.for_model(
        family, **_SHAPE | positions | _CAUSAL.get(family, {}), vocab_size=len(tokenizer), pad_token_id=0,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    kind = AutoModel if is_encoder else AutoModelForCausalLM
    kind.from_config(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(folder)
    return folder
