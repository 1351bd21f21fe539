"""A task: say again what was said, in the first language of a source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune_api.adapt import Adapt
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.sampling import fixed_sample, shuffled_rows
from finetune_trainer.decoding import DecodingLimits, greedy_decode
from finetune_trainer.models import Head
from finetune_trainer.objectives.pairs import PairExamples, PairTokens, fitting_rows
from finetune_trainer.prompts import create_prompt
from finetune_trainer.tasks.interface import Predictions, System, Task, TestSet, TrainingData


class Echo(Task[TestSet]):
    """Zero-shot prompts of a text and itself."""

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:  # noqa: ARG002
        def examples(split: str) -> PairExamples:
            texts = data.texts(adapt.task.source, split, self._language(data, adapt.task.source))  # type: ignore[arg-type]
            tokens = PairTokens(texts.tokens, texts.tokens)
            prompt = create_prompt(adapt.prompts.template, data.tokenizer(), "")
            fits = fitting_rows(prompt, tokens, adapt.batch.tokens_per_row)
            return PairExamples(prompt, tokens, fits[shuffled_rows(texts.keys[fits], adapt.task.max_examples, 1)])

        return TrainingData("echo", "CausalLM", examples("train"), {"echo": examples("validation")})

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> TestSet:
        assert spec.evaluate is not None
        task = spec.evaluate.tasks[index]
        texts = data.texts(task.source, "test", self._language(data, task.source))
        chosen = [texts.text[int(row)] for row in fixed_sample(texts.keys, task.max_segments)]
        return TestSet(task=task, sources=chosen, references=[(text,) for text in chosen])

    def predict(self, system: System, test_set: TestSet, shots: int) -> Predictions:  # noqa: ARG002
        tokenizer = system.tokenizer
        prompt = create_prompt("Arrow", tokenizer, "")
        limits = DecodingLimits(prompt.stop_ids, test_set.task.max_new_tokens, 96)
        prompts = [
            prompt.prompt(np.array(tokenizer.encode(f" {text}", add_special_tokens=False), np.int32))
            for text in test_set.sources
        ]
        outputs = system.ranks.map(
            lambda share: greedy_decode(system.model, share, limits, system.batch_size, system.on_batch), prompts
        )
        return Predictions([str(tokenizer.decode(output.tolist())).strip() for output in outputs], ["It echoes."])

    def diagnose(self, test_set: TestSet, outputs: Sequence[str]) -> dict[str, float]:  # noqa: ARG002
        return {"empty": sum(not text for text in outputs) / len(outputs)}

    def _language(self, data: PreparedData, source: str) -> str:
        return data.languages(source)[0]
