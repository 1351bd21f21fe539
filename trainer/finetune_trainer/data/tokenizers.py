"""A new tokenizer, trained on the training split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from finetune_api.model import TrainTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
MAX_TRAINING_CHARACTERS = 200_000_000
"""Of each language; more does not change a vocabulary noticeably."""

TextsByLanguage = dict[str, Callable[[], Iterable[str]]]


def train_tokenizer(
    settings: TrainTokenizer, texts: TextsByLanguage, prompt_names: Mapping[str, str], context_length: int
) -> PreTrainedTokenizerFast:
    """Byte-level BPE (Sennrich et al. 2016; over bytes as in GPT-2): any text can be encoded, and decoded to itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary_size,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(balanced_texts(texts, prompt_names, balance=settings.balance_languages), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=context_length,
        clean_up_tokenization_spaces=False,
    )


def balanced_texts(texts: TextsByLanguage, prompt_names: Mapping[str, str], *, balance: bool) -> Iterator[str]:
    """All texts, each after a blank as it is encoded later; balanced, the shorter languages are repeated.

    Each text of a language that prompts name brings its name along, as every prompt does: `English:` in six pieces
    would make a prompt of short texts half as long again.
    """
    sizes = {language: min(sum(map(len, read())), MAX_TRAINING_CHARACTERS) for language, read in texts.items()}
    for language, read in texts.items():
        wanted = max(sizes.values()) if balance else sizes[language]
        while wanted > 0 and sizes[language] > 0:
            for text in read():
                yield f" {text}"
                if language in prompt_names:
                    yield f"{prompt_names[language]}:"
                wanted -= len(text)
                if wanted <= 0:
                    break
