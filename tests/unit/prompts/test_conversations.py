"""Conversations as tokens: golden ids of both templates, what carries loss, what is asked, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.conversations import create_conversations
from finetune_trainer.prompts.conversations.interface import Conversations

SPECIAL = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"]
WORDS = [
    *SPECIAL,
    "system",
    "user",
    "assistant",
    "System",
    "User",
    "Assistant",
    ":",
    "\n",
    "hi",
    "yes",
    "no",
    "why",
    "be",
]
IDS = {word: number for number, word in enumerate(WORDS)}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TALK = [("system", "be"), ("user", "hi"), ("assistant", "yes no"), ("user", "why\nhi"), ("assistant", "no")]


def tokenizer(chat: str | None = CHATML, eos: str | None = "</s>", begins: bool = False) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel(IDS, unk_token="<unk>"))
    words = pre_tokenizers.Split("\n", "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split(":", "isolated")]
    )
    if begins:
        core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, bos_token="<s>", eos_token=eos, unk_token="<unk>", chat_template=chat,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )  # fmt: skip


def messages(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def shown(template: Conversations, *turns: tuple[str, str]) -> tuple[list[str], list[str]]:
    """All tokens of a conversation, and those that the assistant has to produce."""
    (encoded,) = template.encode([messages(*turns)])
    words = [WORDS[i] for i in encoded.tokens]
    return words, [word for word, answer in zip(words, encoded.is_answer, strict=True) if answer]


def test_chat_has_the_tokens_of_the_models_own_template_and_learns_all_answers() -> None:
    own = tokenizer()
    template = create_conversations("Chat", own)
    (encoded,) = template.encode([messages(*TALK)])
    assert encoded.tokens.tolist() == [
        3, 5, 12, 17, 4, 12,
        3, 6, 12, 13, 4, 12,
        3, 7, 12, 14, 15, 4, 12,
        3, 6, 12, 16, 12, 13, 4, 12,
        3, 7, 12, 15, 4,
    ]  # fmt: skip
    text = own.apply_chat_template(messages(*TALK), tokenize=False)
    assert encoded.tokens.tolist() == own.encode(text, add_special_tokens=False)[:-1]  # but the last line break
    assert np.flatnonzero(encoded.is_answer).tolist() == [15, 16, 17, 30, 31]
    assert encoded.tokens.dtype == np.int32
    assert template.stop_ids == {IDS["</s>"], IDS["<|im_end|>"]}


def test_plain_has_golden_tokens_too() -> None:
    template = create_conversations("Plain", tokenizer(begins=True))
    (encoded,) = template.encode([messages(*TALK)])
    assert encoded.tokens.tolist() == [
        0, 8, 11, 17, 12,
        9, 11, 13, 12,
        10, 11, 14, 15, 1, 12,
        9, 11, 16, 12, 13, 12,
        10, 11, 15, 1,
    ]  # fmt: skip
    assert np.flatnonzero(encoded.is_answer).tolist() == [11, 12, 13, 23, 24]
    assert template.stop_ids == {IDS["</s>"]}
    words, _ = shown(create_conversations("Plain", tokenizer()), *TALK[1:3])
    assert words == ["User", ":", "hi", "\n", "Assistant", ":", "yes", "no", "</s>"]


@pytest.mark.parametrize("name", ["Chat", "Plain"])
def test_what_is_asked_is_how_the_whole_conversation_begins(name: str) -> None:
    template = create_conversations(name, tokenizer(begins=True))
    talks = [messages(*TALK), messages(*TALK[1:3]), messages(*TALK[3:])]
    for whole, asked in zip(template.encode(talks), template.ask(talks), strict=True):
        assert whole.tokens[: len(asked)].tolist() == asked.tolist()
        assert whole.is_answer[len(asked) :].all()
        assert not whole.is_answer[len(asked) - 1]


def test_a_special_token_that_a_message_spells_is_text() -> None:
    words, answers = shown(create_conversations("Chat", tokenizer()), ("user", "hi<|im_end|>"), ("assistant", "no</s>"))
    assert words == [
        "<|im_start|>",
        "user",
        "\n",
        "<unk>",
        "<|im_end|>",
        "\n",
        "<|im_start|>",
        "assistant",
        "\n",
        *answers,
    ]
    assert answers == ["<unk>", "<|im_end|>"]


def test_an_answer_without_a_special_token_after_it_ends_the_sequence() -> None:
    chat = (
        "{% for m in messages %}{{ m['role'] }} : {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant : {% endif %}"
    )
    template = create_conversations("Chat", tokenizer(chat))
    words, answers = shown(template, *TALK[1:])
    assert words[-4:] == ["assistant", ":", "no", "</s>"]
    assert answers == ["yes", "no", "no", "</s>"]
    assert template.stop_ids == {IDS["</s>"]}


def test_without_a_name_the_tokenizer_decides() -> None:
    turns = TALK[1:3]
    assert shown(create_conversations(None, tokenizer()), *turns)[0][0] == "<|im_start|>"
    assert shown(create_conversations(None, tokenizer(chat=None)), *turns)[0][0] == "User"


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        (None, "it has none"),
        ("{{ messages[0]['content'] }}", "it does not show each message of user, assistant once"),
        ("{{ messages[9]['content'] | length }}{{ raise_exception('no') }}", "it cannot be rendered: "),
        (CHATML + "{% if add_generation_prompt %}yes{% endif %}", "it begins an answer in another way"),
    ],
)
def test_a_template_that_cannot_be_taken_apart_is_refused(chat: str | None, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        create_conversations("Chat", tokenizer(chat)).encode([messages(*TALK[1:3])])


def test_an_answer_must_be_able_to_end() -> None:
    with pytest.raises(BadConfiguration, match="no answer could ever end"):
        create_conversations("Plain", tokenizer(eos=None))
