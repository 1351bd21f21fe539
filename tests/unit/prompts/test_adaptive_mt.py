from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.adaptive_mt import AdaptiveMtPrompt

TEXTS = [
    "The user opens the folder.", "El usuario abre la carpeta.", "Save changes?", "¿Guardar los cambios?",
    "English: Spanish: 100 % of 3,500 files", "Añadir página número 42", "plain", "(a) b — c…", "100%", "日本語 🙂",
]  # fmt: skip


def byte_level(begin: bool = False, end: bool = True) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    if begin:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>" if end else None
    )


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return byte_level()


def tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> np.ndarray:
    return np.array(tokenizer.encode(" " + text, add_special_tokens=False), np.int32)


@pytest.mark.parametrize("source", TEXTS)
@pytest.mark.parametrize("target", ["El fin.", "100 %", "¡Hola!"])
def test_zero_shot_is_the_template_of_the_paper(tokenizer: PreTrainedTokenizerFast, source: str, target: str) -> None:
    prompt = AdaptiveMtPrompt(tokenizer, "en-es")
    ids = [*prompt.prompt(tokens(tokenizer, source)), *prompt.target(tokens(tokenizer, target))]
    assert tokenizer.decode(ids) == f"English: {source}\nSpanish: {target}</s>"
    assert ids[:-1] == tokenizer.encode(f"English: {source}\nSpanish: {target}", add_special_tokens=False)


@pytest.mark.parametrize("source", TEXTS)
def test_one_shot_is_the_template_of_the_paper(tokenizer: PreTrainedTokenizerFast, source: str) -> None:
    prompt = AdaptiveMtPrompt(tokenizer, "es-en")
    fuzzy = (tokens(tokenizer, "El servidor"), tokens(tokenizer, "The server"))
    text = f"Spanish: El servidor\nEnglish: The server\nSpanish: {source}\nEnglish:"
    ids = prompt.prompt(tokens(tokenizer, source), [fuzzy])
    assert tokenizer.decode(ids) == text
    assert ids.tolist() == tokenizer.encode(text, add_special_tokens=False)


def test_the_length_is_known_without_composing(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = AdaptiveMtPrompt(tokenizer, "en-es")
    source, target, a, b = (tokens(tokenizer, text) for text in TEXTS[:4])
    n, m = np.array([len(source)]), np.array([len(target)])
    zero = len(prompt.prompt(source)) + len(prompt.target(target))
    one = len(prompt.prompt(source, [(a, b)])) + len(prompt.target(target))
    assert prompt.length(n, m).tolist() == [zero]
    assert prompt.length(n, m, np.array([len(a) + len(b)]), 1).tolist() == [one]
    three = len(prompt.prompt(source, [(a, b), (b, a), (a, a)])) + len(prompt.target(target))
    assert prompt.length(n, m, np.array([4 * len(a) + 2 * len(b)]), 3).tolist() == [three]


def test_a_tokenizer_that_begins_texts_with_a_token_begins_prompts_with_it_once() -> None:
    tokenizer = byte_level(begin=True)
    fuzzy = (tokens(tokenizer, "uno"), tokens(tokenizer, "one"))
    ids = AdaptiveMtPrompt(tokenizer, "es-en").prompt(tokens(tokenizer, "dos"), [fuzzy]).tolist()
    assert ids == tokenizer.encode("Spanish: uno\nEnglish: one\nSpanish: dos\nEnglish:")
    assert ids.count(tokenizer.bos_token_id) == 1


def test_end_of_sequence_and_newline_stop_a_translation(tokenizer: PreTrainedTokenizerFast) -> None:
    stops = AdaptiveMtPrompt(tokenizer, "en-es").stop_ids
    assert tokenizer.eos_token_id in stops
    assert tokenizer.encode("\n")[0] in stops
    assert not stops & set(tokenizer.encode(" ".join(TEXTS)))


def test_a_tokenizer_without_end_of_sequence_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="no end-of-sequence token"):
        AdaptiveMtPrompt(byte_level(end=False), "en-es")
