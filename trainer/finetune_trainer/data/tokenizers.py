"""The tokenizer: trained on the training split, or the pretrained model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.common import ModelReference
from finetune_api.model import Model, TrainTokenizer
from finetune_trainer.data.locate import local_path
from finetune_trainer.errors import BadConfiguration

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
MAX_TRAINING_CHARACTERS = 200_000_000
"""Of each language; more does not change a vocabulary noticeably."""

TextsByLanguage = dict[str, Callable[[], Iterable[str]]]


def make_tokenizer(
    model: Model, texts: TextsByLanguage, prompt_names: Mapping[str, str], context_length: int
) -> PreTrainedTokenizerFast:
    """The tokenizer that `model` asks for.

    `texts` gives the training split of each language, anew at each call; `prompt_names` what a prompt calls the
    languages that prompts name.
    """
    if model.from_ is not None:
        return load_tokenizer(model.from_)
    settings = model.tokenizer.train if model.tokenizer and model.tokenizer.train else TrainTokenizer()
    return train_tokenizer(settings, texts, prompt_names, context_length)


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
    tokenizer.train_from_iterator(training_texts(texts, prompt_names, balance=settings.balance_languages), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=context_length,
        clean_up_tokenization_spaces=False,
    )


def training_texts(texts: TextsByLanguage, prompt_names: Mapping[str, str], *, balance: bool) -> Iterator[str]:
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


def load_tokenizer(reference: ModelReference) -> PreTrainedTokenizerFast:
    """The tokenizer of a pretrained model.

    Raises:
        BadConfiguration: if the model has none that can be used.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    uri = reference.uri
    name: str | Path = uri.removeprefix("hf://") if uri.startswith("hf://") else local_path(uri)
    if isinstance(name, Path) and not name.is_dir():
        raise BadConfiguration("ModelNotFound", f"model.from: {name} is no folder", "Correct its uri.")
    if isinstance(name, Path) and not any((name / file).exists() for file in TOKENIZER_FILES):
        raise BadConfiguration(
            "TokenizerMissing",
            f"model.from: {name} has no tokenizer (no tokenizer.json or tokenizer.model)",
            "Copy the files of the tokenizer that the model was trained with into that folder.",
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=reference.revision or "main")
    except Exception as error:  # noqa: BLE001 - the Rust core raises bare Exceptions for a broken tokenizer.json
        reason = (str(error).splitlines() or [""])[0]
        raise BadConfiguration(
            "TokenizerNotUsable",
            f"model.from: the tokenizer of {name} cannot be loaded: {type(error).__name__}: {reason}",
            "Check the uri and the files; on a machine without network give a folder.",
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.eos_token_id is None:
        raise BadConfiguration(
            "TokenizerNotUsable", f"model.from: the tokenizer of {name} is not a fast one with an end-of-text token"
        )
    return tokenizer
