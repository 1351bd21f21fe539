"""The chat template of the model's own tokenizer: the user asks for a translation, the assistant gives it."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_api.language_names import language_name
from finetune_api.language_tags import direction_languages
from finetune_trainer.prompts.chat_template import BEGINS_OTHERWISE, ChatTemplate, mark
from finetune_trainer.prompts.composed import ComposedPrompt, Parts, Slot

Message = dict[str, str]


class ChatPrompt(ComposedPrompt):
    """Turns of user and assistant; each example is a turn of both in front."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, _: Prompts | None = None) -> None:
        """Take the template apart by rendering marks with it.

        Raises:
            BadConfiguration: if the tokenizer has none, or one that cannot be used.
        """
        source, target = (language_name(code) for code in direction_languages(direction))

        def turns(example: int | None = None) -> list[Message]:
            asked, answered = (_mark(slot) for slot in (Slot("source", example), Slot("target", example)))
            request = f"Translate the following text from {source} to {target}.\n{asked}"
            return [{"role": "user", "content": request}, {"role": "assistant", "content": answered}]

        template = ChatTemplate(
            tokenizer,
            "another template, such as AdaptiveMT or ALMA",
            "Use another template, such as AdaptiveMT or ALMA, or write one with template: Custom.",
        )

        def parts(shots: int) -> tuple[Parts, str]:
            return _parts(template, [turn for example in (*range(shots), None) for turn in turns(example)], shots)

        end = _end_ids(tokenizer, parts(0)[1])
        super().__init__(tokenizer, lambda shots: parts(shots)[0], begin=[], end=end, stops_at_newline=False)

    def answer(self, text: str) -> str:
        """All that the assistant says; lines are joined by who reads it."""
        return text


def _mark(slot: Slot) -> str:
    """What stands for a text while the template is rendered."""
    place = 0 if slot.example is None else 1 + slot.example
    return mark(2 * place + (slot.side == "target"))


def _parts(template: ChatTemplate, messages: list[Message], shots: int) -> tuple[Parts, str]:
    """What the template puts around the marks, and after the last of them."""
    marks = {
        slot: _mark(slot) for place in (*range(shots), None) for slot in (Slot("source", place), Slot("target", place))
    }
    conversation = template.render(messages, generate=False)
    asked = template.render(messages[:-1], generate=True)
    given = conversation.partition(messages[-1]["content"])[0]
    if given.rstrip(" ") != asked.rstrip(" "):
        raise template.unusable(BEGINS_OTHERWISE)
    parts: list[str | Slot] = []
    rest = conversation
    while found := [(rest.index(text), slot) for slot, text in marks.items() if text in rest]:
        place, slot = min(found, key=lambda first: first[0])
        parts += [rest[:place], slot]
        rest = rest[place + len(marks[slot]) :]
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
