"""A translation model with an encoder and a decoder (Marian, M2M100, NLLB, mBART), given the source alone."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoTokenizer

from finetune_api.evaluate import Rival
from finetune_api.languages import matching_codes
from finetune_api.report import ModelDescription
from finetune_trainer.context import StageContext
from finetune_trainer.data.lines import one_line
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.evaluation.answers import SystemAnswers, repeat_answers
from finetune_trainer.evaluation.rivals.interface import OnBatch, OpenRival
from finetune_trainer.models import Head, ModelChoice, Placement, load_model, referenced_model
from finetune_trainer.tasks import Predictions, TestSet
from finetune_trainer.tasks.translation.test_set import TranslationTestSet

_BATCH = 32
"""Sources translated together where spec.evaluate.batchSize does not say."""
_LANGUAGE_TOKEN = re.compile(r"__([a-z]{2,3})__|([a-z]{2,3}_(?:[A-Z][a-z]{3}|[A-Z]{2}))|>>([A-Za-z_-]{2,11})<<")
"""How tokenizers of M2M100, of NLLB and mBART, and of Marian spell languages."""


@dataclass(frozen=True, slots=True)
class _Languages:
    """What a tokenizer and generate must be told; empty where a model has one direction."""

    source: str = ""
    """Code, as the tokenizer's `src_lang` takes it."""
    prefix: str = ""
    """Before each source."""
    first_token: int | None = None
    """That generate must begin with."""


def open_encoder_decoder(context: StageContext, rival: Rival, field: str, test_sets: Sequence[TestSet]) -> OpenRival:
    """See OpenFunction; the tokenizer must know the languages."""
    if rival.model is None:
        raise BadConfiguration("NoModel", f"{field}: the rival has no model", f"Give {field}.model.uri.")
    choice = referenced_model(rival.model, f"{field}.model", context.workspace)
    tokenizer = _load_tokenizer(choice)
    translations = [test_set for test_set in test_sets if isinstance(test_set, TranslationTestSet)]
    languages = {test_set.task.name: _find_languages(tokenizer, test_set, choice) for test_set in translations}
    description = ModelDescription(name=rival.name, path=rival.model.uri, type=rival.kind)

    def answer(on_batch: OnBatch) -> SystemAnswers:
        context.progress.update(phase="Loading", message=rival.name)
        placement = Placement(device=context.device)
        model: Any = load_model(choice.folder, choice.field, Head("AutoModelForSeq2SeqLM"), placement)
        model.eval()
        parameters = sum(p.numel() for p in model.parameters())
        began = time.monotonic()
        predictions = {
            test_set.task.name: Predictions(
                _translate(context, model, tokenizer, test_set, languages[test_set.task.name], on_batch)
            )
            for test_set in translations
        }
        seconds = time.monotonic() - began
        del model
        gc.collect()
        described = description.model_copy(update={"parameters": parameters})
        answers = repeat_answers(context, described, test_sets, predictions)
        answers.seconds = seconds
        return answers

    return OpenRival(description=description, answer=answer, decoded=sum(len(t.sources) for t in translations))


def _load_tokenizer(choice: ModelChoice) -> Any:
    try:
        return AutoTokenizer.from_pretrained(choice.folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - the Rust core and missing libraries raise what they like
        reason = next(iter(str(error).strip().splitlines()), "")
        raise BadConfiguration(
            "TokenizerNotUsable",
            f"{choice.field}: the tokenizer of {choice.folder} cannot be loaded: {type(error).__name__}: {reason}",
            "Save the tokenizer into the same folder, as tokenizer.json.",
        ) from None


def _find_languages(tokenizer: Any, test_set: TranslationTestSet, choice: ModelChoice) -> _Languages:
    """The tokenizer's own names of the two languages.

    Raises:
        BadConfiguration: of a model with many languages that has not both.
    """
    tokens = {code: token for token in tokenizer.get_vocab() if (code := _code(token))}
    if not tokens:
        return _Languages()
    by_prefix = all(token.startswith(">>") for token in tokens.values())
    needed = [test_set.language] if by_prefix else [test_set.source_language, test_set.language]
    found = {language: next(iter(matching_codes(language, tokens)), None) for language in needed}
    missing = [language for language, code in found.items() if code is None]
    if missing:
        raise BadConfiguration(
            "UnknownLanguage",
            f"{choice.field}: the model has no {' and no '.join(missing)}, which task '{test_set.task.name}' needs",
            f"Languages it has: {', '.join(sorted(tokens)[:20])}{' …' if len(tokens) > 20 else ''}.",
        )
    target = tokens[found[test_set.language] or ""]
    if by_prefix:
        return _Languages(prefix=f"{target} ")
    source = found[test_set.source_language] or ""
    first = int(tokenizer.convert_tokens_to_ids(target))
    if hasattr(tokenizer, "src_lang"):
        return _Languages(source=source, first_token=first)
    return _Languages(prefix=f"{tokens[source]} ", first_token=first)


def _code(token: str) -> str | None:
    match = _LANGUAGE_TOKEN.fullmatch(token)
    return next(filter(None, match.groups())) if match else None


def _translate(
    context: StageContext,
    model: Any,
    tokenizer: Any,
    test_set: TranslationTestSet,
    languages: _Languages,
    on_batch: OnBatch,
) -> list[str]:
    """With the model's own settings of search, and no sampling; collective."""
    if languages.source:
        tokenizer.src_lang = languages.source
    evaluate = context.plan.spec.evaluate
    size = (evaluate.batch_size if evaluate else None) or _BATCH
    settings: dict[str, Any] = {"max_new_tokens": test_set.task.max_new_tokens, "do_sample": False}
    if languages.first_token is not None:
        settings["forced_bos_token_id"] = languages.first_token
    longest = getattr(model.config, "max_position_embeddings", None)

    def share(sources: list[str]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(sources), size):
            batch = [f"{languages.prefix}{source}" for source in sources[start : start + size]]
            inputs = tokenizer(
                batch, return_tensors="pt", padding=True, truncation=longest is not None, max_length=longest
            )
            texts += _generate(model, tokenizer, inputs.to(model.device), settings)
            on_batch(len(batch))
        return texts

    by_length = sorted(range(len(test_set.sources)), key=lambda i: (-len(test_set.sources[i]), i))
    found = context.ranks.map(share, [test_set.sources[i] for i in by_length])
    ordered = [""] * len(found)
    for place, text in zip(by_length, found, strict=True):
        ordered[place] = text
    return ordered


@torch.inference_mode()
def _generate(model: Any, tokenizer: Any, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    outputs = model.generate(**given, **settings)
    return [one_line(text) for text in tokenizer.batch_decode(outputs, skip_special_tokens=True)]
