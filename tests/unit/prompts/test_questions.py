"""Questions as prompts: the text of both templates, what carries loss, what is asked."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from finetune_trainer.prompts.questions import Questions, create_questions
from unit.prompts.test_conversations import CHATML


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """A token a byte, so that each text comes back as it was."""
    special = ["</s>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, eos_token="</s>", additional_special_tokens=special[1:]
    )


def shown(template: Questions, tokenizer: PreTrainedTokenizerFast) -> tuple[str, str]:
    """A whole conversation, and what of it carries loss."""
    talk = [
        {"role": "user", "content": template.request("Ida has a boat.\nIt is red.", "What has Ida?")},
        {"role": "assistant", "content": "a boat"},
    ]
    (encoded,) = template.encode([talk])
    (asked,) = template.ask([talk])
    assert encoded.tokens[: len(asked)].tolist() == asked.tolist()
    answer = encoded.tokens[encoded.is_answer].tolist()
    assert encoded.tokens[len(asked) :].tolist() == answer
    assert answer[-1] in template.stop_ids
    return str(tokenizer.decode(asked.tolist())), str(tokenizer.decode(answer))


def test_plain_is_three_parts_and_the_end() -> None:
    tokenizer = bytes_tokenizer()
    asked, answer = shown(create_questions("Plain", tokenizer), tokenizer)
    assert asked == "Context: Ida has a boat.\nIt is red.\nQuestion: What has Ida?\nAnswer:"
    assert answer == " a boat</s>"


def test_chat_is_the_models_own_template_around_an_instruction() -> None:
    tokenizer = bytes_tokenizer()
    assert type(create_questions(None, tokenizer)).__name__ == "PlainQuestions"
    tokenizer.chat_template = CHATML
    template = create_questions(None, tokenizer)
    asked, answer = shown(template, tokenizer)
    request = template.request("Ida has a boat.\nIt is red.", "What has Ida?")
    assert request.startswith("Answer the question with words of the context, as few as possible. If the context does")
    assert request.endswith("write: unanswerable\n\nContext: Ida has a boat.\nIt is red.\n\nQuestion: What has Ida?")
    assert asked == f"<|im_start|>user\n{request}<|im_end|>\n<|im_start|>assistant\n"
    assert answer.startswith("a boat")
