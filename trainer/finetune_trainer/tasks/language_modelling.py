"""Language modelling: how many bits a byte of held text costs. Shows what an adaptation forgot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models import Head
from finetune_trainer.tasks.interface import Predictions, System, Task, TestSet, TrainingData, evaluation_task
from finetune_trainer.tasks.stored_rows import rows_to_answer

METRIC = "BitsPerByte"
_BATCH_TOKENS = 8192
"""Padding included."""

Cost = tuple[float, int]
"""Nats and UTF-8 bytes of a text."""


class LanguageModellingTask(Task[TestSet]):
    """Texts of a Text source, each by itself; for evaluation only."""

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:  # noqa: ARG002 - see Task
        """See Task.

        Raises:
            BadConfiguration: always; pretrain has the objective CausalLM.
        """
        raise BadConfiguration(
            "NotSupported",
            "spec.adapt.task.type: LanguageModelling is a test, no adaptation",
            "Pre-train with the objective CausalLM.",
        )

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> TestSet:
        """See Task."""
        task = evaluation_task(spec, index)
        field = f"spec.evaluate.tasks[{index}]"
        source = next(s for s in spec.data.sources if s.name == task.source)
        if source.type != "Text":
            raise BadConfiguration(
                "NoTextSource", f"{field}.source: '{source.name}' is {source.type}", "Name a source of type Text."
            )
        texts = [" ".join(text.split()) for text in rows_to_answer(data, task, field)]
        return TestSet(task=task, sources=texts, references=[(text,) for text in texts], language=source.languages[0])

    def predict(self, system: System, test_set: TestSet, shots: int) -> Predictions:  # noqa: ARG002 - there is no prompt
        """See Task: the cost of each text in words, and as statistics of the metric."""
        found = system.map_by_length(lambda share: costs(system, share), test_set.sources, len)
        statistics = np.array(found, np.float64).reshape(-1, 2)
        texts = [f"{nats / np.log(2):.2f} bits, {size:.0f} bytes" for nats, size in statistics]
        return Predictions(texts, [], {METRIC: statistics})


def costs(system: System, texts: Sequence[str]) -> list[Cost]:
    """Nats and bytes of each text, after a blank, as texts are trained on; given the token that begins one.

    Texts longer than the model's context are cut into windows of it, each with a beginning of its own.
    """
    model, tokenizer = system.model, system.tokenizer
    windows = [
        (i, window) for i, text in enumerate(texts) for window in _windows(tokenizer, text, system.context_length)
    ]
    nats = np.zeros(len(texts))
    last_of = {text: place for place, (text, _) in enumerate(windows)}
    for batch in _batches([len(window) for _, window in windows], system.batch_size):
        found = _nats(model, [windows[place][1] for place in batch])
        for place, value in zip(batch, found, strict=True):
            nats[windows[place][0]] += value
        if system.on_batch is not None:
            system.on_batch(sum(last_of[windows[place][0]] == place for place in batch))
    return [(float(value), len(f" {text}".encode())) for value, text in zip(nats, texts, strict=True)]


def _windows(tokenizer: PreTrainedTokenizerBase, text: str, context: int) -> list[list[int]]:
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    ids = tokenizer(f" {text}", add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [[start, *ids[place : place + context - 1]] for place in range(0, len(ids), context - 1)]


def _batches(lengths: Sequence[int], most: int | None) -> list[list[int]]:
    """Places in order, so many in each batch that the longest of it, times their number, fits."""
    batches: list[list[int]] = []
    longest = 0
    for place, length in enumerate(lengths):
        longest = max(longest, length)
        if not batches or longest * (len(batches[-1]) + 1) > _BATCH_TOKENS or len(batches[-1]) == most:
            batches.append([])
            longest = length
        batches[-1].append(place)
    return batches


@torch.inference_mode()
def _nats(model: PreTrainedModel, windows: Sequence[Sequence[int]]) -> list[float]:
    """Negative log likelihood of each window after its first token; padding stands behind, where nothing looks."""
    width = max(map(len, windows))
    ids = torch.tensor([[*window, *[window[0]] * (width - len(window))] for window in windows], device=model.device)
    mask = torch.tensor([[1] * len(w) + [0] * (width - len(w)) for w in windows], device=model.device)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return [float(value) for value in (losses.double() * mask[:, 1:]).sum(1)]
