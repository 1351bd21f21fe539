from __future__ import annotations

import numpy as np
import pytest

from finetune_trainer.objectives.causal_lm import CausalLM, Documents
from finetune_trainer.objectives.pairs import PairExamples, PairTokens, fitting_rows
from tiny import BOS, EOS, PAD, TinyPrompt, TinyTexts, segments

collate = CausalLM().collate


def translations(longest: int, count: int = 200) -> tuple[PairExamples, PairTokens]:
    tokens = PairTokens(TinyTexts(count, seed=1), TinyTexts(count, seed=2))
    return PairExamples(TinyPrompt(), tokens, fitting_rows(TinyPrompt(), tokens, longest)), tokens


@pytest.mark.parametrize("longest", [64, 10, 2])
def test_documents_hold_every_token_once_between_begin_and_end(longest: int) -> None:
    texts = TinyTexts(50)
    documents = Documents(texts, BOS, EOS, longest)
    examples = [documents[i] for i in range(len(documents))]
    assert [len(example.tokens) for example in examples] == documents.lengths.tolist()
    assert max(len(example.tokens) for example in examples) <= longest
    assert all(example.tokens[0] == BOS for example in examples)
    stream = np.concatenate([example.tokens[1:] for example in examples])
    assert stream.tolist() == [token for i in range(50) for token in [*texts[i].tolist(), EOS]]
    assert int(documents.loss_units.sum()) == len(stream)


def test_translations_carry_loss_on_the_target_and_its_end() -> None:
    examples, tokens = translations(256, 30)
    example = examples[7]
    assert example.tokens[example.loss_from :].tolist() == [*tokens.targets[7].tolist(), EOS]
    assert len(example.tokens) == examples.lengths[7]
    assert len(example.tokens) - example.loss_from == examples.loss_units[7]
    assert len(examples) == 30


def test_translations_that_are_too_long_are_left_out() -> None:
    whole, examples = translations(10**6)[0], translations(24)[0]
    assert len(whole) == 200
    assert 0 < len(examples) < 200
    assert max(len(examples[i].tokens) for i in range(len(examples))) <= 24
    assert len(examples) == int((whole.lengths <= 24).sum())


def test_labels_come_from_lengths_so_that_the_end_is_supervised_even_if_padding_has_the_same_id() -> None:
    documents = Documents(TinyTexts(2), BOS, EOS, 64)
    length = len(documents[0].tokens)
    batch = collate([[documents[0]]], length + 5, pad=EOS)
    assert segments(batch) == [(documents[0].tokens.tolist(), documents[0].tokens[1:].tolist())]
    assert batch.inputs["targets"][-1] == EOS
    assert batch.inputs["loss_positions"].tolist() == list(range(length - 1))
    assert len(batch.inputs["targets"]) == documents.loss_units[0]


def test_flattened_examples_restart_positions_and_never_predict_across_examples() -> None:
    documents = Documents(TinyTexts(20), BOS, EOS, 64)
    rows = [[documents[i] for i in range(start, start + 5)] for start in range(0, 20, 5)]
    inputs = collate(rows, 400, PAD).inputs
    widths = [width for count, width in inputs["runs"] for _ in range(count)]
    assert inputs["boundaries"].tolist() == [0, *np.cumsum(widths).tolist()]
    assert inputs["position_ids"][0].tolist() == [place for width in widths for place in range(width)]
    assert inputs["capacity"] == 4 * 400
    starts = set(inputs["boundaries"].tolist())
    assert not {place + 1 for place in inputs["loss_positions"].tolist()} & starts
    longest_first = sorted((documents[i].tokens.tolist() for i in range(20)), key=len, reverse=True)
    assert [tokens for tokens, _ in segments(collate(rows, 400, PAD))] == longest_first
