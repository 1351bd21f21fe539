"""Questions about texts, as tokens: a new template is one file and its row in `finetune_api.registries.QUESTIONS`."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from finetune_api.registries import QUESTIONS
from finetune_trainer.prompts.chat_template import usual_template
from finetune_trainer.prompts.questions.interface import NO_ANSWER, Questions
from finetune_trainer.registry import Registry

__all__ = ["NO_ANSWER", "Questions", "create_questions"]

_registry: Registry[Callable[[PreTrainedTokenizerBase], Questions]] = Registry(
    __name__, "template of questions", QUESTIONS
)


def create_questions(template: str | None, tokenizer: PreTrainedTokenizerBase) -> Questions:
    """The questions of one template; None: Chat where the tokenizer has a chat template, else Plain.

    Raises:
        BadConfiguration: if the tokenizer has no end-of-sequence token, or not what the template needs.
    """
    return _registry.find(template or usual_template(tokenizer))(tokenizer)
