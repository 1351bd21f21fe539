"""The chat template of the model's own tokenizer: the user asks for a translation, the assistant gives it."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_api.language_names import language_name
from finetune_api.language_tags import direction_languages
from finetune_trainer.prompts.chat_template import BEGINS_OTHERWISE, ChatTemplate, mark
from finetune_trainer.prompts.composed import ComposedPrompt, Parts, Slot

Message = dict[str, str]
_MARKS = {slot: mark(index) for index, slot in enumerate(Slot)}


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

        template = ChatTemplate(
            tokenizer,
            "another template, such as AdaptiveMT or ALMA",
            "Use another template, such as AdaptiveMT or ALMA, or write one with template: Custom.",
        )
        last = turns(Slot.SOURCE, Slot.TARGET)
        plain, end = _parts(template, last)
        whole = _parts(template, [*turns(Slot.EXAMPLE_SOURCE, Slot.EXAMPLE_TARGET), *last])[0]
        super().__init__(tokenizer, plain, whole, begin=[], end=_end_ids(tokenizer, end), stops_at_newline=False)

    def answer(self, text: str) -> str:
        """All that the assistant says; lines are joined by who reads it."""
        return text


def _parts(template: ChatTemplate, messages: list[Message]) -> tuple[Parts, str]:
    """What the template puts around the marks, and after the last of them."""
    conversation = template.render(messages, generate=False)
    asked = template.render(messages[:-1], generate=True)
    given = conversation.partition(messages[-1]["content"])[0]
    if given.rstrip(" ") != asked.rstrip(" "):
        raise template.unusable(BEGINS_OTHERWISE)
    parts: list[str | Slot] = []
    rest = conversation
    while marks := [(rest.index(mark), slot) for slot, mark in _MARKS.items() if mark in rest]:
        place, slot = min(marks, key=lambda found: found[0])
        parts += [rest[:place], slot]
        rest = rest[place + len(_MARKS[slot]) :]
    if sum(isinstance(part, Slot) for part in parts) != len(messages):
        raise template.unusable("it does not show each message once, as it is")
    return parts, rest


def _end_ids(tokenizer: PreTrainedTokenizerBase, end: str) -> list[int]:
    """Tokens after an answer, up to the first special one; the end of sequence, where there is none."""
    ids = tokenizer.encode(end, add_special_tokens=False)
    special = set(tokenizer.all_special_ids) | {
        number for number, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    first = next((index for index, number in enumerate(ids) if number in special), None)
    return [int(tokenizer.eos_token_id)] if first is None else list(ids[: first + 1])
