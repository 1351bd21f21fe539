"""DiPMT (Ghazvininejad et al. 2023): a bilingual dictionary tells what words of the source mean."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.composed import ComposedPrompt, parts_of_text
from finetune_trainer.workspace.dictionaries import open_dictionary

FIELD = "spec.adapt.prompts.dictionary"
MOST_WORDS = 8
"""Hints of one text, at most: those of its first words, so that a row has room for the text."""
MOST_MEANINGS = 3
"""Translations of one word, at most."""
_PAIR = (
    "Translate the following sentence to {target_language}: {source}\n"
    "The full translation to {target_language} is: {target}"
)
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


class DipmtPrompt(ComposedPrompt):
    """Hints stand in a line after the source, also after that of an example; without a known word there is none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, settings: Prompts) -> None:
        """See ComposedPrompt.

        Raises:
            BadConfiguration: also if there is no dictionary.
            BadData: if it cannot be used.
        """
        super().__init__(tokenizer, parts_of_text("{examples}" + _PAIR, _PAIR + "\n", direction))
        if settings.dictionary is None:
            raise BadConfiguration("NoDictionary", f"{FIELD}: DiPMT needs it", "Give a file of words and translations.")
        self._dictionary = open_dictionary(settings.dictionary.uri, FIELD)

    def source_text(self, text: str) -> str:
        """The text, and in the next line what its words mean."""
        words = dict.fromkeys(word for word in _WORD.findall(text) if word.lower() in self._dictionary)
        hints = [f'the word "{word}" means {self._meanings(word)}' for word in list(words)[:MOST_WORDS]]
        return f"{text}\nIn this context, {'; '.join(hints)}." if hints else text

    def _meanings(self, word: str) -> str:
        return ", ".join(f'"{meaning}"' for meaning in self._dictionary[word.lower()][:MOST_MEANINGS])
