"""The chat template of the model's own tokenizer: the user asks for a translation, the assistant gives it."""

from __future__ import annotations

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_api.language_names import language_name
from finetune_api.language_tags import direction_languages
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.composed import ComposedPrompt, Parts, Slot

Message = dict[str, str]
_MARKS = {slot: f"\ue000{index}\ue000" for index, slot in enumerate(Slot)}
"""Texts that no template knows, in the place of those to come: characters of private use."""


class ChatPrompt(ComposedPrompt):
    """Turns of user and assistant; an example is a turn of each in front."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, _: Prompts | None = None) -> None:
        """Take the template apart by rendering marks with it.

        Raises:
            BadConfiguration: if the tokenizer has none, or one that cannot be used.
        """
        source, target = (language_name(code) for code in direction_languages(direction))

        def turns(asked: Slot, answered: Slot) -> list[Message]:
            request = f"Translate the following text from {source} to {target}.\n{_MARKS[asked]}"
            return [{"role": "user", "content": request}, {"role": "assistant", "content": _MARKS[answered]}]

        last = turns(Slot.SOURCE, Slot.TARGET)
        plain, end = _parts(tokenizer, last)
        whole = _parts(tokenizer, [*turns(Slot.EXAMPLE_SOURCE, Slot.EXAMPLE_TARGET), *last])[0]
        super().__init__(tokenizer, plain, whole, begin=[], end=_end_ids(tokenizer, end), stops_at_newline=False)

    def answer(self, text: str) -> str:
        """All that the assistant says; lines are joined by who reads it."""
        return text


def _parts(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> tuple[Parts, str]:
    """What the template puts around the marks, and after the last of them."""
    conversation = _render(tokenizer, messages, generate=False)
    asked = _render(tokenizer, messages[:-1], generate=True)
    given = conversation.partition(messages[-1]["content"])[0]
    if given.rstrip(" ") != asked.rstrip(" "):
        raise _unusable("it begins an answer in another way where one is to be generated than where one is given")
    parts: list[str | Slot] = []
    rest = conversation
    while marks := [(rest.index(mark), slot) for slot, mark in _MARKS.items() if mark in rest]:
        place, slot = min(marks, key=lambda found: found[0])
        parts += [rest[:place], slot]
        rest = rest[place + len(_MARKS[slot]) :]
    if sum(isinstance(part, Slot) for part in parts) != len(messages):
        raise _unusable("it does not show each message once, as it is")
    return parts, rest


def _render(tokenizer: PreTrainedTokenizerBase, messages: list[Message], *, generate: bool) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise BadConfiguration(
            "NoChatTemplate",
            "spec.adapt.prompts.template: Chat is the chat template of the model's tokenizer, and it has none",
            "Use a model tuned for chat, or another template, such as AdaptiveMT or ALMA.",
        )
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generate))
    except (TemplateError, ValueError, TypeError, KeyError) as error:
        raise _unusable(f"it cannot be rendered: {error}") from error


def _end_ids(tokenizer: PreTrainedTokenizerBase, end: str) -> list[int]:
    """Tokens after an answer, up to the first special one; the end of sequence, where there is none."""
    ids = tokenizer.encode(end, add_special_tokens=False)
    special = set(tokenizer.all_special_ids) | {
        number for number, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    first = next((index for index, number in enumerate(ids) if number in special), None)
    return [int(tokenizer.eos_token_id)] if first is None else list(ids[: first + 1])


def _unusable(reason: str) -> BadConfiguration:
    return BadConfiguration(
        "ChatTemplateNotUsable",
        f"spec.adapt.prompts.template: the chat template of the model's tokenizer cannot be used: {reason}",
        "Use another template, such as AdaptiveMT or ALMA, or write one with template: Custom.",
    )
