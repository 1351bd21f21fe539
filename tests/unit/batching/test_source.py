from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from finetune_api.training import Batch, Curriculum
from finetune_trainer.batching import ArmExamples, MixtureSource, make_layout, validation_batches
from finetune_trainer.batching.stream import ArmStream
from finetune_trainer.curriculum import create_curriculum
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration, BadData
from tiny import PAD, TinyTexts, documents, same_facts, segments, translations

BATCH = Batch(global_tokens=16 * 64, sequence_length=64)
PADDED = BATCH.model_copy(update={"packing": False})


def arms() -> dict[str, ArmExamples]:
    return {
        "en": documents(TinyTexts(300), 64),
        "mt:en-es": translations(TinyTexts(200, 8, 1, 25), TinyTexts(200, 8, 2, 25), 64),
    }


def source(
    ranks: Ranks | None = None, batch: Batch = BATCH, strategy: Any = "Fixed", **curriculum: Any
) -> MixtureSource:
    settings = Curriculum(strategy=strategy, **curriculum)
    layout = make_layout(batch, ranks or Ranks(), 1, PAD)
    return MixtureSource(arms(), create_curriculum(settings, same_facts(arms())), settings, layout, seed=3)


def contents(batches: Any) -> Counter[tuple[int, ...]]:
    """The examples of some micro-batches."""
    found: Counter[tuple[int, ...]] = Counter()
    for batch in batches:
        found.update(tuple(tokens) for tokens, _ in segments(batch))
    return found


@pytest.mark.parametrize("batch", [BATCH, PADDED])
def test_two_ranks_share_what_one_rank_has(batch: Batch) -> None:
    one, first, second = source(batch=batch), source(Ranks(0, 2), batch), source(Ranks(1, 2), batch)
    for step in range(1, 12):
        whole, halves = one.draw(step), [first.draw(step), second.draw(step)]
        assert whole.arm == halves[0].arm == halves[1].arm
        assert contents(whole.micro_batches) == contents(halves[0].micro_batches) + contents(halves[1].micro_batches)
        assert whole.loss_units == halves[0].loss_units
        assert len(halves[0].micro_batches) == len(halves[1].micro_batches)


def test_target_tokens_are_those_of_the_labels() -> None:
    stream = source()
    for step in range(1, 12):
        drawn = stream.draw(step)
        targets = [len(loss) for batch in drawn.micro_batches for _, loss in segments(batch)]
        assert sum(targets) == drawn.loss_units
        assert drawn.row_tokens == sum(batch.inputs["capacity"] for batch in drawn.micro_batches) == 16 * 64


@pytest.mark.parametrize("batch", [BATCH, PADDED])
def test_an_epoch_has_every_example_once(batch: Batch) -> None:
    examples = arms()["en"].examples
    stream = ArmStream(examples, 3, "train/en")
    layout = make_layout(batch, Ranks(), 1, PAD)
    drawn: list[int] = []
    while len(drawn) < 3 * len(examples):
        drawn += [sample for row in stream.draw(layout) for sample in row]
    counts = Counter(drawn)
    assert set(counts) == set(range(len(examples)))
    assert max(counts.values()) - min(counts.values()) <= 2


def test_rows_are_98_percent_full() -> None:
    stream = ArmStream(documents(TinyTexts(5000, 22, longest=110), 128).examples, 3, "train/en")
    layout = make_layout(Batch(global_tokens=32 * 128, sequence_length=128), Ranks(), 1, PAD)
    rows = [row for _ in range(50) for row in stream.draw(layout)]
    tokens = sum(int(stream.examples.lengths[sample]) for row in rows for sample in row)
    assert tokens >= 0.98 * len(rows) * 128


@pytest.mark.parametrize("batch", [BATCH, PADDED])
@pytest.mark.parametrize("strategy", ["Fixed", "FAIR"])
def test_resume_goes_on_with_what_was_not_yet_used(batch: Batch, strategy: str) -> None:
    def play(stream: MixtureSource, steps: range) -> list[Counter[tuple[int, ...]]]:
        seen = []
        for step in steps:
            drawn = stream.draw(step)
            seen.append(contents(drawn.micro_batches) + contents(drawn.probe))
            if drawn.probe:
                stream.feedback(drawn.arm, 2.0, 0.01 * step if drawn.arm == "en" else 0.02)
        return seen

    undisturbed = source(batch=batch, strategy=strategy)
    expected = play(undisturbed, range(1, 31))
    before = source(batch=batch, strategy=strategy)
    assert play(before, range(1, 14)) == expected[:13]
    after = source(batch=batch, strategy=strategy)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert play(after, range(14, 31)) == expected[13:]
    assert after.state_dict() == undisturbed.state_dict()


def test_only_learning_curricula_have_probes_and_only_every_so_many_steps() -> None:
    assert not any(source().draw(step).probe for step in range(1, 10))
    stream = source(strategy="FAIR", update_every_steps=3)
    assert [bool(stream.draw(step).probe) for step in range(1, 10)] == [False, False, True] * 3


def test_self_prediction_gain_probes_fresh_examples_and_prediction_gain_those_of_the_batch() -> None:
    fresh = source(strategy="FAIR", update_every_steps=1).draw(1)
    assert contents(fresh.probe) - contents(fresh.micro_batches)
    same = source(strategy="FAIR", update_every_steps=1, reward="PredictionGain").draw(1)
    assert contents(same.probe)
    assert not contents(same.probe) - contents(same.micro_batches)


def test_a_prediction_gain_probe_has_rows_from_all_over_the_batch() -> None:
    batch = Batch(global_tokens=32 * 64, sequence_length=64)
    drawn = source(batch=batch, strategy="FAIR", update_every_steps=1, reward="PredictionGain").draw(1)
    examples = arms()[drawn.arm].examples
    rows = ArmStream(examples, 3, f"train/{drawn.arm}").draw(make_layout(batch, Ranks(), 1, PAD))
    assert len(rows) == 32
    assert contents(drawn.probe) == Counter(tuple(examples[i].tokens.tolist()) for row in rows[::8] for i in row)


def test_micro_batches_are_cut_without_changing_the_batch() -> None:
    whole = source(batch=BATCH.model_copy(update={"micro_batch": 16})).draw(1)
    cut = source(batch=BATCH.model_copy(update={"micro_batch": 4})).draw(1)
    assert (len(whole.micro_batches), len(cut.micro_batches)) == (1, 4)
    assert contents(whole.micro_batches) == contents(cut.micro_batches)


@pytest.mark.parametrize("batch", [BATCH, PADDED])
def test_hardly_any_token_fills_up(batch: Batch) -> None:
    for step in range(1, 12):
        for micro in source(batch=batch).draw(step).micro_batches:
            tokens = sum(len(tokens) for tokens, _ in segments(micro))
            assert tokens <= micro.inputs["input_ids"].shape[1] <= 1.06 * tokens


def test_rows_that_are_not_packed_come_by_length() -> None:
    batch = PADDED.model_copy(update={"micro_batch": 4})
    widths = [micro.inputs["input_ids"].shape[1] for micro in source(batch=batch).draw(1).micro_batches]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] <= 4 * 64


@pytest.mark.parametrize(
    ("rows", "ranks", "divisor", "expected"),
    [(16, 1, 1, 16), (64, 2, 1, 16), (24, 2, 1, 12), (34, 1, 1, 2), (64, 2, 2, 8), (64, 2, 64, 1), (12, 2, 4, 1)],
)
def test_auto_micro_batch(rows: int, ranks: int, divisor: int, expected: int) -> None:
    layout = make_layout(Batch(global_tokens=rows * 8, sequence_length=8), Ranks(0, ranks), divisor, PAD)
    assert layout.micro_batch == expected
    assert layout.accumulation * expected * ranks == rows


def test_indivisible_batches_are_refused_with_advice() -> None:
    with pytest.raises(BadConfiguration, match="not a multiple") as caught:
        make_layout(BATCH, Ranks(0, 3), 1, PAD)
    assert caught.value.remedy == "Use 960."
    with pytest.raises(BadConfiguration, match="microBatch 3 does not divide"):
        make_layout(BATCH.model_copy(update={"micro_batch": 3}), Ranks(), 1, PAD)


def test_an_arm_without_examples_is_bad_data() -> None:
    settings = Curriculum(strategy="Fixed")
    empty = translations(TinyTexts(5), TinyTexts(5), 1)
    curriculum = create_curriculum(settings, same_facts({"mt": empty}))
    with pytest.raises(BadData, match="objective mt has no training examples"):
        MixtureSource({"mt": empty}, curriculum, settings, make_layout(BATCH, Ranks(), 1, PAD), 3)


def test_validation_sets_are_fixed_and_shared_by_the_ranks() -> None:
    arm = arms()["en"]
    for batch in (BATCH, PADDED):
        whole = validation_batches(arm, make_layout(batch, Ranks(), 1, PAD))
        halves = [validation_batches(arm, make_layout(batch, Ranks(rank, 2), 1, PAD)) for rank in (0, 1)]
        assert len(halves[0]) == len(halves[1])
        assert contents(whole) == contents(halves[0]) + contents(halves[1])
        assert 0 < sum(contents(whole).values()) <= len(arm.examples)


def test_a_validation_set_is_not_the_first_rows_of_the_file() -> None:
    arm = documents(TinyTexts(3000), 64)
    texts = contents(validation_batches(arm, make_layout(BATCH, Ranks(), 1, PAD)))
    rows = [row for row in range(3000) if tuple(arm.examples[row].tokens.tolist()) in texts]
    assert len(rows) < 1000
    assert sum(row < 1500 for row in rows) / len(rows) == pytest.approx(0.5, abs=0.1)
