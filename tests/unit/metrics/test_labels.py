"""Scores of labels and tags are scikit-learn's and seqeval's; their statistics add up."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer

from finetune_api.evaluate import Significance
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import create_metric
from finetune_trainer.metrics.entities import entities
from finetune_trainer.tasks.classification.classes import class_reports, confusion

AVERAGES = {"F1": "macro", "MicroF1": "micro", "WeightedF1": "weighted"}


def draw(seed: int, size: int = 60) -> tuple[list[str], list[str]]:
    """References of labels a to d, and outputs that know a label more."""
    generator = np.random.default_rng(seed)
    references = generator.choice(["a", "b", "c", "d"], size, p=[0.6, 0.2, 0.15, 0.05])
    noise = generator.choice(["a", "b", "c", "other"], size)
    outputs = np.where(generator.random(size) < 0.6, references, noise)
    return outputs.tolist(), references.tolist()


def score(name: str, outputs: list[str], references: list[str]) -> float:
    metric = create_metric(name, "en")
    statistics = metric.statistics(outputs, [(reference,) for reference in references])
    halves = [statistics[: len(statistics) // 2].sum(0), statistics[len(statistics) // 2 :].sum(0)]
    assert metric.score(halves[0] + halves[1]) == metric.score(statistics.sum(0))
    return metric.score(statistics.sum(0))


@pytest.mark.parametrize("seed", range(5))
def test_one_label_a_text_is_scored_as_by_scikit_learn(seed: int) -> None:
    outputs, references = draw(seed)
    known = sorted(set(references))
    assert score("Accuracy", outputs, references) == pytest.approx(100 * accuracy_score(references, outputs))
    assert score("MicroF1", outputs, references) == pytest.approx(score("Accuracy", outputs, references))
    for name, average in AVERAGES.items():
        labels = None if average == "micro" else known
        expected = f1_score(references, outputs, labels=labels, average=average, zero_division=0)
        assert score(name, outputs, references) == pytest.approx(100 * expected), name
    found = {c.name: (c.precision, c.recall, c.f1, c.support) for c in class_reports(
        [{text} for text in references], [{text} for text in outputs])}  # fmt: skip
    rows = precision_recall_fscore_support(references, outputs, labels=known, zero_division=0)
    for label, *expected in zip(known, *rows, strict=True):
        assert found[label] == pytest.approx(expected)
    matrix = confusion(references, outputs)
    assert sum(matrix.counts[i][i] for i in range(len(matrix.labels))) == sum(map(str.__eq__, references, outputs))


@pytest.mark.parametrize("seed", range(5))
def test_sets_of_labels_are_scored_as_by_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    wanted, said = ([{label for label in "abcd" if generator.random() < p} for _ in range(50)] for p in (0.3, 0.4))
    references, outputs = (["|".join(sorted(labels)) for labels in sets] for sets in (wanted, said))
    binary = MultiLabelBinarizer(classes=list("abcd"))
    truth, guess = binary.fit_transform(wanted), binary.fit_transform(said)
    assert score("Accuracy", outputs, references) == pytest.approx(100 * accuracy_score(truth, guess))
    for name, average in AVERAGES.items():
        expected = f1_score(truth, guess, average=average, zero_division=0)
        assert score(name, outputs, references) == pytest.approx(100 * expected), name


SEQEVAL: list[tuple[list[str], list[str], float]] = [
    (["B-PER I-PER O B-LOC"], ["B-PER I-PER O O"], 2 / 3),
    (["B-PER I-LOC O", "O O B-LOC"], ["B-PER I-PER O", "O B-LOC B-LOC"], 0.4),
    (["I-PER O B-LOC I-LOC"], ["B-PER O B-LOC I-LOC"], 2 / 3),
    (["B-A B-A I-A", "O I-A B-B"], ["B-A I-A I-A", "B-B I-B B-B"], 1 / 3),
    (["O O"], ["O O"], 0.0),
]
"""Outputs, references, and what seqeval 1.2.2 makes of them (mode strict, scheme IOB2, zero_division 0). It is no
dependency: its source package tells no version where builds are not isolated."""


@pytest.mark.parametrize(("outputs", "references", "expected"), SEQEVAL)
def test_entities_are_scored_as_by_seqeval_in_strict_mode(
    outputs: list[str], references: list[str], expected: float
) -> None:
    assert score("EntityF1", outputs, references) == pytest.approx(100 * expected)


def test_words_without_a_tag_are_not_right() -> None:
    assert score("TokenAccuracy", ["O B-A", "O"], ["O B-A", "O O O"]) == pytest.approx(100 * 3 / 5)


def test_an_entity_ends_where_another_begins() -> None:
    assert entities(["B-PER", "I-PER", "B-PER", "O", "I-PER", "B-LOC", "I-PER", "I-LOC"]) == {
        ("PER", 0, 2), ("PER", 2, 3), ("LOC", 5, 6),
    }  # fmt: skip
    assert entities([]) == set()


@pytest.mark.parametrize("method", ["PairedBootstrap", "ApproximateRandomisation"])
def test_systems_that_know_other_labels_are_compared(method: str) -> None:
    outputs, references = draw(1, 200)
    metric = create_metric("F1", "en")
    right = [(reference,) for reference in references]
    own, other = ({"F1": metric.statistics(texts, right)} for texts in (outputs, ["never seen"] * 200))
    (compared,), _ = score_systems(
        own, other, {}, "en", Significance.model_validate({"method": method, "samples": 200})
    )
    assert compared.baseline == 0.0
    assert compared.p_value is not None
    assert compared.p_value < 0.02
    assert compared.low < compared.score < compared.high
