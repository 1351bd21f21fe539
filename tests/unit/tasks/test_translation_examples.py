from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from finetune_trainer.data.sampling import shuffled_rows
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.pairs import PairExamples, PairTokens
from finetune_trainer.prompts.adaptive_mt import AdaptiveMtPrompt
from finetune_trainer.tasks.translation.selection import select_examples
from tiny import segments

PAIRS = [
    ("Open the file", "Abra el archivo"),
    ("Open the files", "Abra los archivos"),
    ("Save", "Guardar"),
    ("A rather long sentence " * 5, "Una frase bastante larga " * 5),
]
MATCHES = np.array([[1, 2], [0, 2], [-1, -1], [0, -1]])
LONGEST = 128
collate = CausalLM().collate


class Texts:
    def __init__(self, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> None:
        self._tokens = [np.array(tokenizer.encode(" " + text, add_special_tokens=False), np.int32) for text in texts]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(tokens) for tokens in self._tokens])

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        return self._tokens[index]


@pytest.fixture
def split(tokenizer: PreTrainedTokenizerFast) -> PairTokens:
    return PairTokens(Texts(tokenizer, [s for s, _ in PAIRS]), Texts(tokenizer, [t for _, t in PAIRS]))


@pytest.fixture
def prompt(tokenizer: PreTrainedTokenizerFast) -> AdaptiveMtPrompt:
    return AdaptiveMtPrompt(tokenizer, "en-es")


def select(prompt: AdaptiveMtPrompt, split: PairTokens, shots: list[int], longest: int = LONGEST) -> Any:
    """(segment, its matches) of each example, and the selection."""
    selection = select_examples(prompt, split, split, np.arange(len(PAIRS)), MATCHES, shots, longest)
    shown = [tuple(match for match in some if match >= 0) for some in selection.matches.tolist()]
    return sorted(zip(selection.rows.tolist(), shown, strict=True)), selection


def test_each_segment_gives_one_example_per_shot_count(prompt: AdaptiveMtPrompt, split: PairTokens) -> None:
    assert select(prompt, split, [0, 1])[0] == [(0, ()), (0, (1,)), (1, ()), (1, (0,)), (2, ())]
    assert select(prompt, split, [0])[0] == [(0, ()), (1, ()), (2, ())]
    found, selection = select(prompt, split, [0, 2], 4 * LONGEST)
    assert found == [(0, ()), (0, (1, 2)), (1, ()), (1, (0, 2)), (2, ()), (3, ()), (3, (0,))]
    assert selection.without_match == 2  # one has none, one has one


def test_one_shot_alone_falls_back_to_zero_shot_where_there_is_no_match(
    prompt: AdaptiveMtPrompt, split: PairTokens
) -> None:
    assert select(prompt, split, [1])[0] == [(0, (1,)), (1, (0,)), (2, ())]


def test_a_match_that_does_not_fit_is_left_out_first_and_then_the_example(
    prompt: AdaptiveMtPrompt, split: PairTokens
) -> None:
    found, shorter = select(prompt, split, [1], 70)
    assert found == [(0, ()), (1, ()), (2, ())]
    assert (shorter.shortened, shorter.without_match, shorter.too_long) == (2, 1, 1)
    assert select(prompt, split, [0, 1], 20)[1].too_long == 4
    assert select(prompt, split, [0, 1], 20)[0] == []


def test_of_several_matches_the_farthest_is_left_out_first(prompt: AdaptiveMtPrompt, split: PairTokens) -> None:
    found, shorter = select(prompt, split, [2], LONGEST)
    assert found == [(0, (1,)), (1, (0,)), (2, ())]
    assert (shorter.shortened, shorter.too_long) == (2, 1)
    assert select(prompt, split, [1, 2], LONGEST)[0] == found  # no example comes twice


def test_the_most_similar_match_stands_last(
    prompt: AdaptiveMtPrompt, split: PairTokens, tokenizer: PreTrainedTokenizerFast
) -> None:
    made = PairExamples(prompt, split, np.array([0, 2]), split, np.array([[1, 2], [0, -1]]))
    texts = [str(tokenizer.decode(made[index].tokens)).split("\n")[::2] for index in range(2)]
    assert texts == [
        ["English: Save", "English: Open the files", "English: Open the file"],
        ["English: Open the file", "English: Save"],
    ]
    assert [len(made[index].tokens) for index in range(2)] == made.lengths.tolist()


def examples(prompt: AdaptiveMtPrompt, split: PairTokens, loss_on: str = "Target") -> PairExamples:
    rows, matches = np.array([0, 2, 1]), np.array([[1], [-1], [-1]])
    return PairExamples(prompt, split, rows, split, matches, loss_on)  # type: ignore[arg-type]


def test_examples_read_as_the_template_and_end(
    prompt: AdaptiveMtPrompt, split: PairTokens, tokenizer: PreTrainedTokenizerFast
) -> None:
    texts = [tokenizer.decode(example.tokens) for example in map(examples(prompt, split).__getitem__, range(3))]
    assert texts == [
        "English: Open the files\nSpanish: Abra los archivos\nEnglish: Open the file\nSpanish: Abra el archivo</s>",
        "English: Save\nSpanish: Guardar</s>",
        "English: Open the files\nSpanish: Abra los archivos</s>",
    ]


@pytest.mark.parametrize("loss_on", ["Target", "All"])
def test_lengths_and_targets_are_known_without_composing(
    prompt: AdaptiveMtPrompt, split: PairTokens, loss_on: str
) -> None:
    made = examples(prompt, split, loss_on)
    assert [len(made[i].tokens) for i in range(3)] == made.lengths.tolist()
    units = [len(segments(collate([[made[i]]], LONGEST, pad=2))[0][1]) for i in range(3)]
    assert units == made.loss_units.tolist()


def test_the_target_and_its_end_carry_loss_and_nothing_else_does(
    prompt: AdaptiveMtPrompt, split: PairTokens, tokenizer: PreTrainedTokenizerFast
) -> None:
    made = examples(prompt, split)
    batch = collate([[made[0]], [made[1], made[2]]], LONGEST, pad=int(tokenizer.eos_token_id))
    supervised = [tokenizer.decode(loss) for _, loss in segments(batch)]
    assert supervised == [" Abra el archivo</s>", " Abra los archivos</s>", " Guardar</s>"]


def test_with_loss_on_all_the_prompt_carries_loss_too(
    prompt: AdaptiveMtPrompt, split: PairTokens, tokenizer: PreTrainedTokenizerFast
) -> None:
    batch = collate([[examples(prompt, split, "All")[1]]], LONGEST, pad=2)
    assert tokenizer.decode(batch.inputs["targets"]) == "nglish: Save\nSpanish: Guardar</s>"


def test_a_sample_depends_on_content_and_seed_not_on_the_order_of_the_file() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64)
    chosen = keys[shuffled_rows(keys, 100, seed=3)]
    assert np.array_equal(keys[::-1][shuffled_rows(keys[::-1], 100, seed=3)], chosen)
    assert len(set(chosen.tolist())) == 100
    assert not np.array_equal(keys[shuffled_rows(keys, 100, seed=4)], chosen)
    assert 0.3 < (chosen < 2**63).mean() < 0.7
